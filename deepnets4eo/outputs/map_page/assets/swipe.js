// Both images in one panel: before on the left of a line, after on the right. The panels lie upon each other, the upper cut.

const STEPS = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, PageDown: -0.25, PageUp: 0.25, Home: -1, End: 1 };

function wireSwipe(panels) {
  const button = document.getElementById("swipe"), { host } = panels;
  button.hidden = panels.sources.length < 2;
  if (button.hidden) return;
  const line = make("div", { id: "swipe-line", class: "swipe-line", role: "slider", tabindex: "0", "aria-label": t`Line between before and after`, "aria-valuemin": "0", "aria-valuemax": "100", hidden: "" }, make("i", {}, "⇔"));
  host.append(line);
  let at;
  const move = (share) => {
    at = Math.min(Math.max(share, 0), 1);
    host.style.setProperty("--swipe", cssPercent(at));
    line.setAttribute("aria-valuenow", String(Math.round(100 * at)));
    line.setAttribute("aria-valuetext", t`${Math.round(100 * at)} % before`);
  };
  move(0.5);
  let chosen = false; // by the reader; else by the room
  const turn = (on) => {
    if (on === host.classList.contains("swipe")) return;
    host.classList.toggle("swipe", on);
    button.setAttribute("aria-pressed", String(on));
    line.hidden = !on;
    panels.resize();
  };
  const suit = () => !chosen && turn(panels.room.suitsSwipe());
  suit();
  new ResizeObserver(suit).observe(document.querySelector("main"));
  button.onclick = () => {
    chosen = true;
    turn(!host.classList.contains("swipe"));
  };
  let travelled = 0;
  line.onpointerdown = (event) => {
    line.setPointerCapture(event.pointerId);
    travelled = 0;
  };
  line.onpointermove = (event) => {
    if (!line.hasPointerCapture(event.pointerId)) return;
    const box = host.getBoundingClientRect();
    travelled += Math.hypot(event.movementX, event.movementY);
    if (travelled >= TAP_PX) move((event.clientX - box.left) / box.width);
  };
  line.onpointerup = (event) => travelled < TAP_PX && panels.ontap(event); // what lies under the line can be selected, too
  line.onkeydown = (event) => {
    if (!(event.key in STEPS)) return;
    move(at + STEPS[event.key]);
    event.preventDefault();
  };
}
