// One metric by frame, a line a variant, with a cursor at the present frame.

const CURVE_HEIGHT = 210;
const MARGIN = { left: 46, right: 10, top: 10, bottom: 24 };

class FrameCurves {
  constructor(box, seek) {
    this.box = box;
    this.svg = drawing("svg", { role: "img" });
    this.cursor = drawing("line", { class: "cursor" });
    this.frame = 0;
    box.replaceChildren(this.svg);
    new ResizeObserver(() => this.draw()).observe(box);
    const follow = (event) => {
      if (event.buttons !== 1 || !this.x) return;
      const { left } = this.svg.getBoundingClientRect();
      seek(clamp(Math.round(this.x.back(event.clientX - left)), 0, this.count - 1));
    };
    this.svg.addEventListener("pointerdown", follow);
    this.svg.addEventListener("pointermove", follow);
  }

  // lines: [{label, colour, values}], a value a frame or null.
  set(lines, count, facts) {
    Object.assign(this, { lines, count, facts });
    this.draw();
  }

  draw() {
    const width = this.box.clientWidth;
    if (!this.lines || !width) return;
    const values = this.lines.flatMap((line) => line.values).filter((value) => value !== null);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${CURVE_HEIGHT}`);
    this.svg.setAttribute("aria-label", `${this.facts.label} by frame: ${this.lines.map((line) => line.label).join(", ")}`);
    this.x = axis(0, Math.max(1, this.count - 1), MARGIN.left, width - MARGIN.right);
    if (!values.length) return this.svg.replaceChildren();
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const spare = (high - low) * 0.08 || Math.abs(high) * 0.05 || 0.5;
    this.y = axis(low - spare, high + spare, CURVE_HEIGHT - MARGIN.bottom, MARGIN.top);
    this.svg.replaceChildren(...this.grid(width), ...this.lines.map((line) => this.path(line)), this.cursor);
    this.show(this.frame);
  }

  grid(width) {
    const nodes = [];
    for (const value of roundValues(this.y.low, this.y.high, 4)) {
      const y = this.y(value);
      nodes.push(drawing("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }));
      nodes.push(drawing("text", { x: MARGIN.left - 6, y: y + 3.5, "text-anchor": "end" }, number(value, decimals(this.y.high - this.y.low))));
    }
    for (const frame of roundValues(0, Math.max(1, this.count - 1), 8).filter(Number.isInteger)) {
      nodes.push(drawing("text", { x: this.x(frame), y: CURVE_HEIGHT - 6, "text-anchor": "middle" }, String(frame + 1)));
    }
    return nodes;
  }

  path(line) {
    let pen = "M";
    let path = "";
    line.values.forEach((value, frame) => {
      if (value === null) pen = "M";
      else {
        path += `${pen}${this.x(frame).toFixed(1)} ${this.y(value).toFixed(1)}`;
        pen = "L";
      }
    });
    return drawing("g", { class: `v-${line.colour}` }, drawing("path", { class: "line", d: path }));
  }

  show(frame) {
    this.frame = frame;
    if (!this.x) return;
    const x = this.x(frame);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: MARGIN.top, y2: CURVE_HEIGHT - MARGIN.bottom })) {
      this.cursor.setAttribute(name, value);
    }
  }
}

function axis(low, high, start, stop) {
  const map = (value) => start + ((value - low) / (high - low)) * (stop - start);
  map.back = (place) => low + ((place - start) / (stop - start)) * (high - low);
  return Object.assign(map, { low, high });
}

function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

function roundValues(low, high, most) {
  const step = roundStep((high - low) / most);
  const values = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) values.push(n * step);
  return values;
}

const decimals = (range) => Math.max(0, -Math.floor(Math.log10(roundStep(range / 4)) + 1e-9));
