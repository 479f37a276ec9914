// Clips played in step. One of them is the master; the others are held to its time: a small drift
// is taken up by their speed, one of half a frame or more by a seek.

class ClipsInStep {
  constructor(onframe, onstate) {
    this.onframe = onframe;
    this.onstate = onstate;
    this.videos = new Map(); // name -> video; the first is the master
    this.boxes = new Map(); // name -> where its video stands
    this.playing = false;
    this.rate = 1;
    this.loop = true;
    this.tick = this.tick.bind(this);
  }

  get master() {
    return this.videos.values().next().value;
  }

  // The frame now shown. A little is added, since a time may fall just short of its frame.
  get frame() {
    return this.master ? clamp(Math.floor(this.master.currentTime * this.fps + 0.01), 0, this.count - 1) : 0;
  }

  // views: name -> [box, address], the master first.
  open(views, fps, count) {
    this.pause();
    for (const video of this.videos.values()) unload(video);
    this.videos.clear();
    this.fps = fps;
    this.count = count;
    for (const [name, [box, address]] of Object.entries(views)) {
      const video = makeVideo(address);
      box.replaceChildren(video);
      this.videos.set(name, video);
      this.boxes.set(name, box);
      video.addEventListener("loadeddata", () => this.onframe(this.frame), { once: true });
    }
    this.master.addEventListener("ended", () => this.finished());
    this.seek(0);
  }

  // Puts another clip in place of one, at the same time; the old one stays until the new one shows.
  swap(name, address) {
    const old = this.videos.get(name);
    if (old.getAttribute("src") === address) return;
    const video = makeVideo(address);
    this.videos.set(name, video);
    if (!old.isConnected) unload(old); // it was on its way in and is overtaken
    const align = () => { video.currentTime = this.master.currentTime; };
    const show = () => {
      if (this.videos.get(name) !== video) return;
      unload(old);
      this.boxes.get(name).replaceChildren(video);
      if (this.playing) start(video, this.rate);
    };
    video.addEventListener("loadeddata", align, { once: true });
    video.addEventListener("seeked", show, { once: true });
  }

  seek(frame) {
    const time = (clamp(frame, 0, this.count - 1) + 0.5) / this.fps;
    for (const video of this.videos.values()) video.currentTime = time;
    this.onframe(clamp(frame, 0, this.count - 1));
  }

  step(by) {
    const frame = this.frame + by;
    this.pause();
    this.seek(this.loop ? (frame + this.count) % this.count : frame);
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    if (this.frame >= this.count - 1) this.seek(0);
    for (const video of this.videos.values()) start(video, this.rate);
    this.onstate(true);
    requestAnimationFrame(this.tick);
  }

  // Stops everything at the middle of the master's frame, so that all show the same one.
  pause() {
    if (!this.playing) return;
    this.playing = false;
    for (const video of this.videos.values()) video.pause();
    this.seek(this.frame);
    this.onstate(false);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  setRate(rate) {
    this.rate = rate;
    for (const video of this.videos.values()) video.playbackRate = rate;
  }

  finished() {
    if (!this.playing) return;
    if (!this.loop) return this.pause();
    for (const video of this.videos.values()) {
      video.currentTime = 0;
      start(video, this.rate);
    }
  }

  tick() {
    if (!this.playing) return;
    const time = this.master.currentTime;
    for (const video of this.videos.values()) {
      if (video !== this.master && !video.seeking) this.hold(video, time);
    }
    this.onframe(this.frame);
    requestAnimationFrame(this.tick);
  }

  hold(video, time) {
    const drift = (video.currentTime - time) * this.fps; // in frames
    if (Math.abs(drift) >= 0.5) {
      video.currentTime = time;
      if (video.paused) start(video, this.rate);
    } else {
      video.playbackRate = this.rate * (Math.abs(drift) < 0.05 ? 1 : clamp(1 - drift, 0.8, 1.25));
    }
  }
}

function makeVideo(address) {
  const video = element("video", { src: address, preload: "auto", playsinline: true, tabindex: -1, "aria-hidden": "true" });
  video.muted = true;
  return video;
}

function start(video, rate) {
  video.playbackRate = rate;
  // A play that a pause overtakes is refused; nothing is wrong then.
  video.play().catch((error) => { if (error.name !== "AbortError") throw error; });
}

function unload(video) {
  video.pause();
  video.removeAttribute("src");
  video.load();
}
