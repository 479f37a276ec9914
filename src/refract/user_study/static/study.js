"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const COLUMNS = [
    "study", "rater", "pair", "question", "choice", "left", "right", "seconds", "time",
  ];
  const KEYS = {
    1: "left", ArrowLeft: "left", 2: "right", ArrowRight: "right", 0: "none", ArrowDown: "none",
  };
  const $ = (id) => document.getElementById(id);
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  // ---- What a rater said: {rater, answers: pair -> question -> {choice, seconds, time}} ----

  // A page opened from disk may have no storage: reading the property alone can throw.
  const storage = (() => {
    try {
      const probe = `${study.study}/probe`;
      window.localStorage.setItem(probe, "1");
      window.localStorage.removeItem(probe);
      return window.localStorage;
    } catch {
      return null;
    }
  })();
  const current = `${study.study}/current`;
  const placeOf = (rater) => `${study.study}/answers/${rater}`;
  let session = null;
  let unsaved = false;

  function save() {
    unsaved = true;
    try {
      storage?.setItem(current, session.rater);
      storage?.setItem(placeOf(session.rater), JSON.stringify(session.answers));
    } catch {
      all("[data-volatile]").forEach((notice) => { notice.hidden = false; }); // storage is full
    }
  }

  function recall(rater) {
    try {
      return JSON.parse(storage?.getItem(placeOf(rater)) ?? "null") ?? {};
    } catch {
      return {};
    }
  }

  // ---- The order: drawn from study and rater, so that a reload or another machine agrees ----

  function drawer(text) { // FNV-1a seeds mulberry32
    let state = 0x811c9dc5;
    for (const unit of new TextEncoder().encode(text)) {
      state = Math.imul(state ^ unit, 0x01000193);
    }
    return (below) => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
    };
  }

  function drawOrder(rater) { // Fisher-Yates, then a side for each pair
    const draw = drawer(`${study.study}/${rater}`);
    const pairs = [...study.pairs];
    for (let last = pairs.length - 1; last > 0; last -= 1) {
      const other = draw(last + 1);
      [pairs[last], pairs[other]] = [pairs[other], pairs[last]];
    }
    return pairs.map((pair) => {
      const [left, right] = draw(2) ? [...pair.clips].reverse() : pair.clips;
      return { ...pair, left, right };
    });
  }

  // ---- The two clips: started together, brought back in step, begun anew when both ended ----

  const clips = all("video");
  let playing = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  function restart() {
    clips.forEach((clip) => { clip.currentTime = 0; });
    applyPlaying();
  }

  function applyPlaying() {
    $("pause").textContent = playing ? "Pause" : "Play";
    clips.forEach((clip) => {
      if (playing) clip.play().catch(() => {}); // a newer clip took its place
      else clip.pause();
    });
  }

  function togglePlaying() {
    playing = !playing;
    if (playing && clips.every((clip) => clip.ended)) restart();
    else applyPlaying();
  }

  clips.forEach((clip) => {
    clip.addEventListener("canplay", () => {
      if (!clip.dataset.ready) {
        clip.dataset.ready = "yes";
        if (clips.every((each) => each.dataset.ready)) restart();
      }
    });
    clip.addEventListener("ended", () => {
      if (playing && clips.every((each) => each.ended)) restart();
    });
    clip.addEventListener("error", () => {
      if (clip.hasAttribute("src")) $("broken").hidden = false;
    });
  });
  clips[0].addEventListener("timeupdate", () => {
    const [first, second] = clips;
    const apart = Math.abs(first.currentTime - second.currentTime);
    if (apart > 0.1 && !first.ended && !second.ended && !second.seeking) {
      second.currentTime = first.currentTime;
    }
  });

  function load(tokens) {
    $("broken").hidden = true;
    clips.forEach((clip, side) => {
      delete clip.dataset.ready;
      clip.src = `media/${tokens[side]}.webm`;
      clip.load();
    });
  }

  function unload() {
    clips.forEach((clip) => { clip.removeAttribute("src"); clip.load(); });
  }

  // ---- What is on the screen ----

  let place = 0;
  let since = 0;
  let active = null; // the question that the keys answer
  const pairAt = () => session.order[place];
  const answersOf = (pair) => session.answers[pair.id] ?? {};
  const openQuestions = (pair) => study.questions.filter(({ id }) => !answersOf(pair)[id]);
  const isDone = (pair) => openQuestions(pair).length === 0;

  function show(section) {
    for (const id of ["start", "vote", "end"]) $(id).hidden = id !== section;
    if (section !== "vote") unload();
    window.scrollTo(0, 0);
  }

  function showPair(index) {
    if (index >= session.order.length) {
      const missing = session.order.findIndex((pair) => !isDone(pair));
      if (missing < 0) {
        show("end");
        $("end-title").focus();
        return;
      }
      index = missing;
    }
    place = Math.max(0, index);
    const pair = pairAt();
    show("vote");
    $("pair-title").textContent = `Pair ${place + 1} of ${session.order.length}`;
    $("prompt").textContent = `What both clips shall show: ${pair.prompt}`;
    $("photo").src = `media/${pair.photo}.png`;
    load([pair.left, pair.right]);
    active = (openQuestions(pair)[0] ?? study.questions[0]).id;
    refresh();
    $("pair-title").focus({ preventScroll: true });
  }

  function refresh() {
    const pair = pairAt();
    all(".question").forEach((box) => {
      const name = box.dataset.question;
      box.classList.toggle("active", name === active);
      all("button", box).forEach((button) => {
        const pressed = answersOf(pair)[name]?.choice === button.dataset.choice;
        button.setAttribute("aria-pressed", String(pressed));
      });
    });
    $("progress").max = session.order.length;
    $("progress").value = session.order.filter(isDone).length;
    $("back").disabled = place === 0;
    $("next").disabled = !isDone(pair);
    since = performance.now();
  }

  function answer(question, choice, byKey) {
    const pair = pairAt();
    const before = isDone(pair);
    const seconds = (performance.now() - since) / 1000;
    session.answers[pair.id] = {
      ...answersOf(pair),
      [question]: { choice, seconds: seconds.toFixed(2), time: new Date().toISOString() },
    };
    save();
    const following = study.questions.findIndex(({ id }) => id === question) + 1;
    active = openQuestions(pair)[0]?.id ?? study.questions[following]?.id ?? null;
    // Who comes back with the mouse stays: one answer may be all there is to change.
    if (isDone(pair) && (!before || (byKey && active === null))) showPair(place + 1);
    else refresh();
  }

  function begin(rater) {
    session = { rater, answers: recall(rater), order: drawOrder(rater) };
    all("[data-rater]").forEach((field) => { field.textContent = rater; });
    try {
      storage?.setItem(current, rater);
    } catch { /* said on the page when the first answer cannot be kept */ }
    const open = session.order.findIndex((pair) => !isDone(pair));
    showPair(open < 0 ? session.order.length : open);
  }

  function leave() {
    if (unsaved && !window.confirm("Leave without downloading the newest answers?")) return;
    try {
      storage?.removeItem(current);
    } catch { /* then there is nothing to forget */ }
    session = null;
    unsaved = false;
    $("rater").value = "";
    show("start");
    $("rater").focus();
  }

  // ---- The votes as a file ----

  // A spreadsheet takes what begins with these for a formula; the reader removes the quote again.
  const cell = (value) => {
    const text = /^[=+\-@'\t\r]/.test(value) ? `'${value}` : String(value);
    return `"${text.replaceAll('"', '""')}"`;
  };

  function table() {
    const rows = [COLUMNS];
    for (const pair of session.order) {
      for (const { id } of study.questions) {
        const given = answersOf(pair)[id];
        if (given) {
          rows.push([
            study.study, session.rater, pair.id, id, given.choice, pair.left, pair.right,
            given.seconds, given.time,
          ]);
        }
      }
    }
    return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
  }

  function download() {
    const blob = new Blob(["\ufeff", table()], { type: "text/csv;charset=utf-8" });
    const link = document.createElement("a");
    const name = session.rater.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    link.href = URL.createObjectURL(blob);
    link.download = `votes-${study.study}-${name || "rater"}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    unsaved = false;
  }

  // ---- Buttons and keys ----

  all(".question").forEach((box) => {
    all("button", box).forEach((button) => {
      button.addEventListener("click", () => answer(box.dataset.question, button.dataset.choice));
    });
  });
  all("[data-download]").forEach((button) => button.addEventListener("click", download));
  all("[data-leave]").forEach((button) => button.addEventListener("click", leave));
  $("back").addEventListener("click", () => showPair(place - 1));
  $("next").addEventListener("click", () => showPair(place + 1));
  $("pause").addEventListener("click", togglePlaying);
  $("review").addEventListener("click", () => showPair(session.order.length - 1));
  $("start-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const rater = $("rater").value.normalize("NFC").replace(/\s+/g, " ").trim();
    if (rater) begin(rater);
    else $("rater").value = ""; // blanks alone: let the field ask again
  });
  document.addEventListener("keydown", (event) => {
    if ($("vote").hidden || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const choice = KEYS[event.key];
    const pair = pairAt();
    if (choice) answer(active ?? study.questions[0].id, choice, true);
    else if (event.key === "Backspace" && place > 0) showPair(place - 1);
    else if (event.key.toLowerCase() === "n" && isDone(pair)) showPair(place + 1);
    else if (event.key.toLowerCase() === "p") togglePlaying();
    else return;
    event.preventDefault();
  });
  window.addEventListener("beforeunload", (event) => {
    if (unsaved && !storage) event.preventDefault();
  });

  $("page").hidden = false;
  all("[data-volatile]").forEach((notice) => { notice.hidden = storage !== null; });
  let known = null;
  try {
    known = storage?.getItem(current);
  } catch { /* starts afresh */ }
  if (known) begin(known);
  else show("start");
})();
