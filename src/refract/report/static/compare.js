// Two pictures on one another with a movable edge. The edge is a range input: arrow keys move it.

function comparison([leftImage, leftLabel], [rightImage, rightLabel], cut = 50) {
  const box = element("div", { class: "compare" });
  const slider = element("input", {
    type: "range", min: 0, max: 100, value: cut, "aria-label": `Edge between ${leftLabel} and ${rightLabel}`,
  });
  const move = () => {
    box.style.setProperty("--cut", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % ${leftLabel}`);
  };
  slider.addEventListener("input", move);
  box.append(
    element("img", { src: leftImage, alt: leftLabel, draggable: "false" }),
    element("img", { src: rightImage, alt: rightLabel, draggable: "false" }),
    element("div", { class: "edge" }),
    element("span", { class: "tag left" }, leftLabel),
    element("span", { class: "tag right" }, rightLabel),
    slider,
  );
  move();
  return { box, position: () => Number(slider.value) };
}
