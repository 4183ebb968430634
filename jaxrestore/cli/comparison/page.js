"use strict";
(() => {
  const LARGEST = 16;
  const scenes = JSON.parse(document.getElementById("scenes").textContent);
  const [viewer, stage, tiles, handle, split, level] = ["viewer", "stage", "tiles", "handle", "split", "level"].map(find);
  const [scene, left, right] = ["scene", "left", "right"].map(find);
  // What of the pictures is seen: so many times enlarged, with this corner (in parts of their sides) at the upper left.
  const view = { zoom: 1, x: 0, y: 0 };
  const pointers = new Map();
  let moved = null; // what a pressed pointer moves: "split" or "view"

  function find(id) {
    return document.getElementById(id);
  }

  function shown() {
    return scenes[scene.value].pictures;
  }

  /** A place of the window in parts of a box's sides. */
  function within(box, event) {
    const { left: x, top: y, width, height } = box.getBoundingClientRect();
    return { x: (event.clientX - x) / width, y: (event.clientY - y) / height };
  }

  function show() {
    const largest = 1 - 1 / view.zoom;
    view.x = Math.min(Math.max(view.x, 0), largest);
    view.y = Math.min(Math.max(view.y, 0), largest);
    const style = viewer.style;
    style.setProperty("--zoom", view.zoom);
    style.setProperty("--x", `${-100 * view.zoom * view.x}%`);
    style.setProperty("--y", `${-100 * view.zoom * view.y}%`);
    viewer.classList.toggle("zoomed", view.zoom > 1);
    level.textContent = `${Math.round(100 * view.zoom)} %`;
    for (const image of viewer.querySelectorAll("img.layer")) {
      image.classList.toggle("pixels", image.clientWidth * view.zoom >= image.naturalWidth);
    }
  }

  /** Enlarge all pictures by a factor; the point `at` of a box stays where it is. */
  function zoom(factor, at = { x: 0.5, y: 0.5 }) {
    const before = view.zoom;
    view.zoom = Math.min(Math.max(before * factor, 1), LARGEST);
    view.x += at.x / before - at.x / view.zoom;
    view.y += at.y / before - at.y / view.zoom;
    show();
  }

  function pan(x, y) {
    view.x += x / view.zoom;
    view.y += y / view.zoom;
    show();
  }

  function reset() {
    Object.assign(view, { zoom: 1, x: 0, y: 0 });
    show();
  }

  function setSplit(part) {
    split.value = 100 * Math.min(Math.max(part, 0), 1);
    viewer.style.setProperty("--split", `${split.value}%`);
  }

  function fillLayer(image, picture) {
    image.hidden = !picture.source;
    if (picture.source) image.src = picture.source;
    else image.removeAttribute("src");
    image.alt = picture.label;
    image.onload = show;
  }

  function choose() {
    const pictures = shown();
    for (const [select, side] of [[left, "before"], [right, "after"]]) {
      fillLayer(find(side), pictures[select.value]);
      find(`${side}-name`).textContent = pictures[select.value].label;
    }
    stage.setAttribute("aria-label", `${pictures[left.value].label} and ${pictures[right.value].label}`);
    tiles.querySelectorAll("button").forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === Number(right.value)));
    });
    show();
  }

  function tile(picture, index) {
    const figure = document.createElement("figure");
    const box = figure.appendChild(document.createElement("div"));
    box.className = "box";
    if (picture.source) {
      const image = box.appendChild(document.createElement("img"));
      image.className = "layer";
      fillLayer(image, picture);
    } else {
      box.classList.add("missing");
      box.textContent = "no result";
    }
    watch(box);
    const caption = figure.appendChild(document.createElement("figcaption"));
    const button = caption.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = picture.label;
    button.title = "Show on the right";
    button.addEventListener("click", () => {
      right.value = index;
      choose();
    });
    for (const [name, value] of Object.entries(picture.numbers)) {
      caption.appendChild(document.createElement("span")).textContent = `${name} ${value}`;
    }
    return figure;
  }

  function fillSelect(select, names, value) {
    select.replaceChildren(...names.map((name, i) => new Option(name, i)));
    select.value = value;
  }

  function open() {
    const { width, height, pictures, right: chosen } = scenes[scene.value];
    const names = pictures.map((picture) => picture.label);
    const kept = names.indexOf(right.selectedOptions[0]?.text);
    viewer.style.setProperty("--width", width);
    viewer.style.setProperty("--height", height);
    fillSelect(left, names, 0);
    fillSelect(right, names, kept > 0 ? kept : chosen);
    tiles.replaceChildren(...pictures.map(tile));
    reset();
    choose();
  }

  function press(event) {
    if (event.button) return;
    const box = event.currentTarget;
    moved = event.target === handle ? "split" : "view";
    pointers.set(event.pointerId, event);
    box.setPointerCapture(event.pointerId);
  }

  function drag(event) {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const box = event.currentTarget;
    const [from, to] = [within(box, before), within(box, event)];
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, event);
    if (moved === "split") {
      setSplit(to.x);
    } else if (other) {
      const fixed = within(box, other);
      const distance = (p) => Math.hypot(p.x - fixed.x, p.y - fixed.y);
      zoom(distance(to) / Math.max(distance(from), 1e-3), fixed);
    } else {
      pan(from.x - to.x, from.y - to.y);
    }
  }

  function release(event) {
    pointers.delete(event.pointerId);
  }

  function watch(box) {
    box.addEventListener("pointerdown", press);
    box.addEventListener("pointermove", drag);
    box.addEventListener("pointerup", release);
    box.addEventListener("pointercancel", release);
    box.addEventListener("dblclick", (event) => zoom(event.shiftKey ? 0.5 : 2, within(box, event)));
    box.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
        event.preventDefault();
        zoom(Math.exp(-event.deltaY / 300), within(box, event));
      },
      { passive: false },
    );
  }

  const keys = {
    "+": () => zoom(1.5),
    "=": () => zoom(1.5),
    "-": () => zoom(1 / 1.5),
    0: reset,
    ArrowLeft: () => pan(-0.1, 0),
    ArrowRight: () => pan(0.1, 0),
    ArrowUp: () => pan(0, -0.1),
    ArrowDown: () => pan(0, 0.1),
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  find("in").addEventListener("click", () => zoom(1.5));
  find("out").addEventListener("click", () => zoom(1 / 1.5));
  find("reset").addEventListener("click", reset);
  split.addEventListener("input", () => setSplit(split.value / 100));
  scene.addEventListener("change", open);
  left.addEventListener("change", choose);
  right.addEventListener("change", choose);
  window.addEventListener("resize", show);

  watch(stage);
  fillSelect(scene, scenes.map(({ name }) => name), 0);
  scene.parentElement.hidden = scenes.length === 1;
  viewer.hidden = false;
  open();
})();
