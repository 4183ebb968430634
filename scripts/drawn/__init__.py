"""Pictures of the site that are made from photographs, each with a record of what made it."""
