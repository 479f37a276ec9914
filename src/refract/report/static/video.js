// The video viewer: cases, clips in step, strength and baselines, curves by frame, scores.

// Style classes of the baselines' lines, "v-" before them; then the same again, dashed.
const EXTRA_COLOURS = ["third", "fourth", "fifth", "other", "third dashed", "fourth dashed", "fifth dashed"];

// Variants whose lines are off at first: nine at once tell nothing.
function baselinesOf(data) {
  const found = data.cases.flatMap((one) => Object.values(one.frameScores).flatMap(Object.keys));
  return new Set(found.filter((variant) => variantOf(data, variant).colour === "other" && !/^s\d{3,}$/.test(variant)));
}

function startVideo(viewer, data) {
  const cases = data.cases;
  const screens = makeScreens(viewer);
  const clips = new ClipsInStep(showFrame, showState);
  const curves = new FrameCurves(part(viewer, "plot"), (frame) => { clips.pause(); clips.seek(frame); });
  const [time, clock, play] = ["time", "clock", "play"].map((name) => part(viewer, name));
  const state = { case: null, variant: "reference", other: "plain", metric: null, hidden: baselinesOf(data) };

  // Strengths the reference screen offers: the curve's and the result's own, the plain edit at 0.
  function strengths() {
    const { clips: own, curve, resultStrength } = state.case;
    const points = [{ strength: 0, variant: "plain", clip: own.plain }, ...curve];
    const at = resultStrength ?? curve.find((point) => point.clip === own.reference)?.strength ?? null;
    const result = { strength: at, variant: "reference", clip: own.reference };
    const same = points.findIndex((point) => point.strength === at);
    if (same >= 0) points[same] = result;
    else points.push(result);
    return points.sort((a, b) => (a.strength ?? Infinity) - (b.strength ?? Infinity));
  }

  function open(chosen) {
    const playing = clips.playing;
    Object.assign(state, { case: chosen, variant: "reference" });
    part(viewer, "title").textContent = chosen.name;
    part(viewer, "source-prompt").textContent = chosen.source_prompt || "—";
    part(viewer, "target-prompt").textContent = chosen.target_prompt || "—";
    time.max = chosen.count - 1;
    const others = { plain: chosen.clips.plain };
    for (const { variant, clip } of chosen.baselines) others[variant] = clip;
    if (!Object.hasOwn(others, state.other)) state.other = "plain";
    fillOthers(screens.other, others, state.other, data, (variant) => {
      state.other = variant;
      clips.swap("other", others[variant]);
      showScores();
    });
    Object.values(screens).forEach(({ view }) => view.style.setProperty("aspect-ratio", `${chosen.width} / ${chosen.height}`));
    clips.open({
      source: [screens.source.view, chosen.clips.source],
      other: [screens.other.view, others[state.other]],
      reference: [screens.reference.view, chosen.clips.reference],
    }, chosen.fps, chosen.count);
    const photo = chosen.photo
      ? element("img", { src: chosen.photo, alt: `Product of ${chosen.name}` })
      : element("p", { class: "note" }, "no product photo");
    screens.product.view.replaceChildren(photo);
    openStrength();
    openCurves();
    showScores();
    part(viewer, "final").hidden = !chosen.final;
    if (chosen.final) {
      part(viewer, "final-clip").src = chosen.final.clip;
      part(viewer, "final-about").textContent = chosen.final.about;
    }
    if (playing) clips.play();
  }

  function openStrength() {
    const slider = part(viewer, "strength");
    const points = strengths();
    part(viewer, "strength-row").hidden = points.length < 2;
    slider.max = points.length - 1;
    slider.value = points.findIndex((point) => point.variant === "reference");
    const show = () => {
      const point = points[slider.value];
      const at = point.strength === null ? "as set" : String(point.strength);
      const remark = { plain: " · plain edit", reference: " · the result" }[point.variant] ?? "";
      part(viewer, "strength-text").textContent = at + remark;
      slider.setAttribute("aria-valuetext", at + remark);
      screens.reference.label.textContent = point.variant === "reference" ? "With reference" : `Strength ${at}`;
      state.variant = point.variant;
      return point;
    };
    slider.oninput = () => {
      clips.swap("reference", show().clip);
      drawCurves();
      showScores();
    };
    show();
  }

  function openCurves() {
    const metrics = inOrder(data, Object.keys(state.case.frameScores));
    part(viewer, "curves").hidden = metrics.length === 0;
    if (!metrics.length) return;
    if (!metrics.includes(state.metric)) state.metric = metrics[0];
    const select = part(viewer, "metric");
    select.replaceChildren(...metrics.map((key) => element("option", { value: key }, metricOf(data, key).label)));
    select.value = state.metric;
    select.onchange = () => { state.metric = select.value; drawCurves(); };
    drawCurves();
  }

  // The lines of the present metric; the edit chosen by the strength slider is always among them.
  function lines() {
    const found = state.case.frameScores[state.metric] ?? {};
    let extra = 0;
    return Object.keys(found)
      .filter((variant) => !/^s\d{3,}$/.test(variant) || variant === state.variant)
      .map((variant) => {
        const { label, colour } = variantOf(data, variant);
        const own = colour === "other" ? EXTRA_COLOURS[extra++ % EXTRA_COLOURS.length] : colour;
        return { variant, label, colour: own, values: found[variant] };
      });
  }

  function drawCurves() {
    if (part(viewer, "curves").hidden) return;
    const all = lines();
    const draw = () => {
      curves.set(all.filter((line) => !state.hidden.has(line.variant)), state.case.count, metricOf(data, state.metric));
      readOut(clips.frame);
    };
    const labels = all.map((line) => {
      const box = element("input", { type: "checkbox", checked: !state.hidden.has(line.variant) });
      box.onchange = () => { state.hidden[box.checked ? "delete" : "add"](line.variant); draw(); };
      line.output = element("output");
      return element("label", { class: `v-${line.colour}` }, box, element("span", { class: "swatch" }), line.label, line.output);
    });
    part(viewer, "legend").replaceChildren(...labels);
    state.lines = all;
    draw();
  }

  function showScores() {
    const { scores } = state.case;
    const names = [...new Set(["source", "plain", state.other, state.variant])].filter((name) => scores[name]);
    const metrics = inOrder(data, names.flatMap((name) => Object.keys(scores[name])));
    const box = part(viewer, "scores");
    box.hidden = names.length === 0;
    box.replaceChildren(scoreTable(data, metrics, names.map((name) => [variantOf(data, name).label, scores[name]])));
  }

  function showFrame(frame) {
    if (!state.case) return;
    time.value = frame;
    const { count, fps, step } = state.case;
    const rest = step > 1 ? ` · 1 of ${step} frames shown` : "";
    const text = `frame ${frame + 1} of ${count} · ${(frame / fps).toFixed(2)} s${rest}`;
    if (clock.textContent === text) return;
    clock.textContent = text;
    time.setAttribute("aria-valuetext", text);
    readOut(frame);
  }

  // The cursor and, in the legend, each line's value there.
  function readOut(frame) {
    curves.show(frame);
    const { digits } = metricOf(data, state.metric);
    for (const line of state.lines ?? []) line.output.textContent = number(line.values[frame], digits);
  }

  function showState(playing) {
    play.textContent = playing ? "Pause" : "Play";
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  play.addEventListener("click", () => clips.toggle());
  part(viewer, "back").addEventListener("click", () => clips.step(-1));
  part(viewer, "forward").addEventListener("click", () => clips.step(1));
  time.addEventListener("input", () => { clips.pause(); clips.seek(Number(time.value)); });
  part(viewer, "speed").addEventListener("change", (event) => clips.setRate(Number(event.target.value)));
  part(viewer, "loop").addEventListener("change", (event) => { clips.loop = event.target.checked; });
  part(viewer, "player").addEventListener("keydown", (event) => playerKey(event, clips));
  const entries = cases.map((value) => ({ value, image: value.thumb, title: value.name, text: value.name }));
  const press = thumbnails(part(viewer, "thumbs"), entries, open);
  press(0);
  return { press, clips };
}

// Space and frame steps, but for keys that the focused control has its own use for.
function playerKey(event, clips) {
  const control = event.target.closest("button, select, input[type=checkbox]");
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === " " && !control) clips.toggle();
  else if (event.key === ",") clips.step(-1);
  else if (event.key === ".") clips.step(1);
  else return;
  event.preventDefault();
}

function makeScreens(viewer) {
  const made = {};
  for (const [name, text, colour] of [
    ["source", "Source", "source"], ["other", "Plain edit", "plain"],
    ["reference", "With reference", "result"], ["product", "Product photo", "none"],
  ]) {
    const label = element("span", {}, text);
    const head = element("div", { class: `screen-head v-${colour}` }, label);
    const view = element("div", { class: "screen-view" });
    made[name] = { head, label, view, box: element("div", { class: "screen" }, head, view) };
  }
  part(viewer, "screens").replaceChildren(...Object.values(made).map((screen) => screen.box));
  return made;
}

// With baselines the second screen's heading is a choice.
function fillOthers({ head, label }, others, chosen, data, choose) {
  const names = Object.keys(others);
  if (names.length < 2) return head.replaceChildren(label);
  const select = element("select", { "aria-label": "Edit to compare with", onchange: () => choose(select.value) });
  select.append(...names.map((name) => element("option", { value: name }, variantOf(data, name).label)));
  select.value = chosen;
  head.replaceChildren(select);
}
