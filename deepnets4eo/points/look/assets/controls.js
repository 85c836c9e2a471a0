// Turning, moving and zooming by mouse, pen, fingers and keys.
function connectControls(canvas, renderer, redraw) {
  const fingers = new Map();

  const turn = (dx, dy) => {
    renderer.turn += dx * 0.006;
    renderer.rise = Math.min(Math.PI / 2, Math.max(-0.2, renderer.rise + dy * 0.006));
  };
  const move = (dx, dy) => {
    const { right, down, focal } = renderer.pose();
    const pace = (renderer.distance / focal) * (renderer.image.width / canvas.clientWidth);
    for (const axis of [0, 1, 2]) renderer.target[axis] -= (dx * right[axis] + dy * down[axis]) * pace;
  };
  const zoom = (factor) => {
    const whole = Math.hypot(...renderer.size);
    renderer.distance = Math.min(4 * whole, Math.max(whole / 200, renderer.distance * factor));
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 1);
      zoom(apart(before) / apart([event.clientX, event.clientY]));
      move(dx / 2, dy / 2);
    } else if (event.buttons & 2 || event.shiftKey) {
      move(dx, dy);
    } else {
      turn(dx, dy);
    }
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    redraw();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.0012));
    redraw();
  }, { passive: false });

  const keys = { ArrowLeft: [-24, 0], ArrowRight: [24, 0], ArrowUp: [0, -24], ArrowDown: [0, 24] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (keys[event.key]) (event.shiftKey ? move : turn)(...keys[event.key]);
    else if (event.key === "+" || event.key === "=") zoom(0.85);
    else if (event.key === "-") zoom(1 / 0.85);
    else if (event.key === "r" || event.key === "R") renderer.reset();
    else return;
    event.preventDefault();
    redraw();
  });
}
