// How the panels share the window: in the shape of the scene, side by side or one above the other, whichever shows it larger. What a square
// scene leaves below is for the tools and for the first listed objects, what a tall one leaves at the side is for the list. On a telephone the
// tools lie below the images.

const SIDE_PX = 392, NARROW_PX = 860; // of the list beside the images; of a window that has it below them
const MIN_PX = { width: 480, height: 120 };
const TOOLS_PX = 46, STRIP_PX = 54; // heights below the panels: of the tools, and the least of the strip
const STACKED = 1.1; // times larger, to be one above the other
const PHONE_PX = 600, SWIPED = 1.2; // of a window too narrow for two panels; times larger, to be in one panel with a line to move
const COLUMN_PX = 300; // of the tools one above the other

class Room {
  constructor(host, view, count) {
    this.host = host;
    this.count = count;
    this.shape = (view.whole.width * view.aspectX) / (view.whole.height * view.aspectY);
    this.main = document.querySelector("main");
    this.maps = document.getElementById("maps");
  }

  // The height of the scene in a panel, of so many side by side and one above the other.
  sceneHeight(width, height, [across, down]) {
    return Math.min(width / across / this.shape, height / down);
  }

  // The room for the panels.
  size(narrow) {
    return [this.main.clientWidth - (narrow ? 0 : SIDE_PX), narrow ? 0.54 * innerHeight : this.main.clientHeight];
  }

  // Whether one panel with a line to move shows the scene so much larger than two that the page opens with it.
  suitsSwipe() {
    if (this.count < 2) return false;
    const [width, height] = this.size(innerWidth <= NARROW_PX), high = (ways) => this.sceneHeight(width, height, ways);
    return innerWidth <= PHONE_PX || high([1, 1]) > SWIPED * Math.max(high([2, 1]), high([1, 2]));
  }

  arrange() {
    const { main, maps, host, shape } = this, narrow = innerWidth <= NARROW_PX, [width, height] = this.size(narrow);
    if (!(width > 0) || !(height > 0)) return; // folded away, or printed
    const count = host.classList.contains("swipe") ? 1 : this.count, high = (ways) => this.sceneHeight(width, height, ways);
    const stacked = count > 1 && high([1, 2]) > STACKED * high([2, 1]), [across, down] = stacked ? [1, 2] : [count, 1];
    const scene = high([across, down]), used = Math.max(down * scene, down * MIN_PX.height), free = height - used;
    const roomy = narrow || free >= TOOLS_PX, left = width - Math.max(across * scene * shape, MIN_PX.width);
    host.style.gridTemplate = `repeat(${down}, minmax(0, 1fr)) / repeat(${across}, minmax(0, 1fr))`;
    host.style.height = roomy ? `${used}px` : "";
    maps.classList.toggle("roomy", roomy);
    maps.classList.toggle("stacked", stacked || (!roomy && height < COLUMN_PX)); // the tools in a row
    main.style.gridTemplateColumns = !narrow && left > 0 ? `minmax(0, 1fr) ${SIDE_PX + left}px` : "";
    document.getElementById("strip").hidden = narrow || free < TOOLS_PX + STRIP_PX;
  }
}
