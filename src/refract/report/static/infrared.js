// The infrared viewer: choose, filter and sort scenes; panels, before and after, scores, attention.

const PANELS = [
  ["visible", "Visible"], ["semantic", "Semantic map"], ["truth", "Truth"], ["adapter", "Output"],
  ["error", "Error: red too bright, blue too dark"], ["shuffled_map", "Output, wrong map"], ["zero_map", "Output, empty map"],
];
const PAIRS = [
  ["visible-adapter", "Visible / output"], ["truth-adapter", "Truth / output"], ["zero_map-adapter", "Empty map / output"],
];

function startInfrared(viewer, data) {
  const scenes = data.scenes;
  const metrics = inOrder(data, scenes.flatMap((scene) => Object.keys(scene.scores.adapter ?? {})));
  const state = { daytime: "", sort: "id", scene: scenes[0], pair: PAIRS[0][0], cut: 50 };
  let compare = null;

  const sort = part(viewer, "sort");
  sort.append(element("option", { value: "id" }, "by name"));
  for (const metric of metrics) {
    const { label } = metricOf(data, metric);
    sort.append(element("option", { value: `${metric} best` }, `${label}, best first`));
    sort.append(element("option", { value: `${metric} worst` }, `${label}, worst first`));
  }
  const daytimes = viewer.querySelectorAll('input[name="daytime"]');

  function listed() {
    const [metric, end] = state.sort.split(" ");
    const kept = scenes.filter((scene) => !state.daytime || scene.daytime === state.daytime);
    if (!end) return kept;
    const sign = (metricOf(data, metric).better === "lower" ? 1 : -1) * (end === "best" ? 1 : -1);
    const value = (scene) => scene.scores.adapter?.[metric] ?? Infinity * sign;
    return kept.sort((a, b) => sign * (value(a) - value(b)));
  }

  function list() {
    const kept = listed();
    part(viewer, "count").textContent = `${kept.length} of ${scenes.length} scenes`;
    const metric = state.sort.split(" ")[1] ? state.sort.split(" ")[0] : metrics[0];
    const { digits, unit } = metricOf(data, metric);
    const entries = kept.map((scene) => {
      const score = scene.scores.adapter?.[metric];
      const text = score === undefined ? scene.id : `${number(score, digits)} ${unit}`;
      return { value: scene, image: scene.images.adapter, title: scene.id, text };
    });
    const press = thumbnails(part(viewer, "thumbs"), entries, show);
    if (kept.length) press(Math.max(0, state.sort === "id" ? kept.indexOf(state.scene) : 0));
  }

  function show(scene) {
    state.scene = scene;
    part(viewer, "title").textContent = `${scene.id} · ${scene.daytime}`;
    part(viewer, "caption").textContent = scene.caption;
    const figures = PANELS.filter(([name]) => scene.images[name]).map(([name, label]) => {
      const psnr = scene.scores[name]?.psnr;
      return element(
        "figure",
        {},
        element("img", { src: scene.images[name], alt: `${label} of ${scene.id}` }),
        element("figcaption", {}, label, psnr === undefined ? null : element("b", {}, ` ${number(psnr, 2)} dB`)),
      );
    });
    part(viewer, "panels").replaceChildren(...figures);
    showPairs();
    showScores();
    showAttention(viewer, scene);
  }

  function showPairs() {
    const images = state.scene.images;
    const offered = PAIRS.filter(([pair]) => pair.split("-").every((name) => images[name]));
    if (!offered.some(([pair]) => pair === state.pair)) state.pair = offered[0][0];
    const label = (name) => PANELS.find(([key]) => key === name)[1];
    const draw = () => {
      const [left, right] = state.pair.split("-");
      compare = comparison([images[left], label(left)], [images[right], label(right)], compare?.position() ?? 50);
      part(viewer, "compare").replaceChildren(compare.box);
    };
    segments(part(viewer, "pairs"), "pair", offered, state.pair, (pair) => { state.pair = pair; draw(); });
    draw();
  }

  function showScores() {
    const scores = state.scene.scores;
    const columns = Object.keys(scores).map((name) => [variantOf(data, name).label, scores[name]]);
    const box = part(viewer, "scores");
    box.hidden = columns.length === 0;
    box.replaceChildren(scoreTable(data, metrics, columns));
  }

  sort.addEventListener("change", () => { state.sort = sort.value; list(); });
  daytimes.forEach((input) => input.addEventListener("change", () => { state.daytime = input.value; list(); }));
  list();
}

// Overlays of every head, for the region, layer and step that are chosen.
function showAttention(viewer, scene) {
  const box = part(viewer, "attention");
  box.hidden = scene.attention.length === 0;
  if (box.hidden) return;
  const names = ["region", "layer", "step"];
  const chosen = Object.fromEntries(names.map((name) => [name, scene.attention[0][name]]));
  const draw = () => {
    const heads = scene.attention.filter((entry) => names.every((name) => entry[name] === chosen[name]));
    part(viewer, "attention-heads").replaceChildren(...heads.map(({ head, image }) =>
      element("figure", {}, element("img", { src: image, alt: `Attention of head ${head}` }), element("figcaption", {}, `Head ${head}`))));
  };
  const fields = names.map((name) => {
    const values = [...new Set(scene.attention.map((entry) => entry[name]))].sort((a, b) => a - b);
    if (values.length < 2) return null;
    const select = element("select", { onchange: () => { chosen[name] = Number(select.value); draw(); } });
    select.append(...values.map((value) => element("option", { value }, String(value))));
    return element("label", { class: "field" }, name[0].toUpperCase() + name.slice(1), select);
  });
  part(viewer, "attention-bar").replaceChildren(...fields.filter(Boolean));
  draw();
}
