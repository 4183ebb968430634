"""What networks are made of: functions of arrays, with gradients of their own where those are faster."""
