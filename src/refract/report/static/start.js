// Brings the page to life from the data in it.

const data = JSON.parse(document.getElementById("data").textContent);
startTheme(document.getElementById("theme"));
document.querySelectorAll("table.sortable").forEach(startSorting);
const infraredViewer = document.querySelector('[data-viewer="infrared"]');
if (infraredViewer) startInfrared(infraredViewer, data);
const videoViewer = document.querySelector('[data-viewer="video"]');
if (videoViewer) {
  const { press } = startVideo(videoViewer, data);
  document.querySelectorAll("[data-case]").forEach((link) => {
    link.addEventListener("click", () => press(Number(link.dataset.case)));
  });
}
