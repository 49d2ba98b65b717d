"use strict";

// Figures: colours follow the reader's light or dark theme, so they are filled in here.
const figures = JSON.parse(document.getElementById("figure-data").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const narrow = window.matchMedia("(max-width: 40rem)");

function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = (own) => ({
    gridcolor: colour("--line"), linecolor: colour("--muted"), zeroline: false, ticks: "outside",
    tickcolor: colour("--muted"), ...own,
  });
  return {
    ...layout,
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
    font: { family: style.fontFamily, size: 13, color: colour("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--ink") },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--ink") },
    margin: { l: 8, r: 16, t: 22, b: 8 },
    legend: { orientation: "h", x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom", font: { size: 12 } },
    hoverlabel: {
      bgcolor: colour("--panel"), bordercolor: colour("--muted"), align: "left", namelength: -1,
      font: { size: 11, color: colour("--ink") },
    },
  };
}

function draw() {
  const config = {
    responsive: true, displaylogo: false, displayModeBar: narrow.matches ? false : "hover",
    // Named one by one: Plotly's own choice holds a button that sends the figure to its maker's server.
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  for (const figure of figures) {
    Plotly.react(document.getElementById(figure.name), figure.spec.data, themed(figure.spec.layout), config);
  }
}

if (figures.length) {
  draw();
  dark.addEventListener("change", draw);
}

// Tables: a click on a heading sorts by its column; cells without a value stay last.
function sort(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const key = (row) => row.children[column].dataset.value ?? row.children[column].textContent.trim();
  const compare = (a, b) => {
    const [left, right] = [key(a), key(b)];
    if (left === "" || right === "") return (left === "") - (right === "");
    const numbers = Number(left) - Number(right);
    return sign * (Number.isNaN(numbers) ? left.localeCompare(right) : numbers);
  };
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button));
}
