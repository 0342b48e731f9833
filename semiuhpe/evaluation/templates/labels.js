"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const canvas = byId("view"), context = canvas.getContext("2d");
const layer = document.createElement("canvas");
layer.width = canvas.width; layer.height = canvas.height;
const paint = layer.getContext("2d");
const scale = canvas.width / data.picture;
const KEY = `semiuhpe-${data.command}-${data.store}`;
const STEP = 2, LARGE_STEP = 10;  // degrees
const images = new Map();
let decisions = readDecisions();
let here = Math.max(data.heads.findIndex((head) => !decisions[head.head]), 0);
let pose, hidden = false, waiting = false;

// ---- rotations: nine numbers, row by row, from head axes to camera axes (x right, y down, z into the scene)

function times(a, b) {
  const c = new Array(9).fill(0);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) c[3 * i + j] += a[3 * i + k] * b[3 * k + j];
  return c;
}

function about(axis, angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  if (axis === "x") return [1, 0, 0, 0, c, -s, 0, s, c];
  if (axis === "y") return [c, 0, s, 0, 1, 0, -s, 0, c];
  return [c, -s, 0, s, c, 0, 0, 0, 1];
}

function orthonormal(m) {
  const unit = (v) => { const length = Math.hypot(...v); return v.map((x) => x / length); };
  const a = unit(m.slice(0, 3));
  const along = a[0] * m[3] + a[1] * m[4] + a[2] * m[5];
  const b = unit([m[3] - along * a[0], m[4] - along * a[1], m[5] - along * a[2]]);
  return [...a, ...b, a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function eulerDegrees(m) {  // of R_300wlp = m^T diag(1, -1, -1) = Rz(roll) Ry(yaw) Rx(pitch), in the full range
  const degrees = (x) => x * 180 / Math.PI;
  const r = (row, column) => m[3 * column + row] * (column ? -1 : 1);
  let yaw = degrees(Math.atan2(-r(2, 0), Math.hypot(r(0, 0), r(1, 0))));
  let pitch = degrees(Math.atan2(r(2, 1), r(2, 2))), roll = degrees(Math.atan2(r(1, 0), r(0, 0)));
  if (Math.abs(pitch) > 90) {
    const wrap = (x) => x > 180 ? x - 360 : x <= -180 ? x + 360 : x;
    [pitch, yaw, roll] = [wrap(pitch + 180), wrap(180 - yaw), wrap(roll + 180)];
  }
  return [pitch, yaw, roll];
}

function apartDegrees(a, b) {
  let square = 0;
  for (let i = 0; i < 9; i++) square += (a[i] - b[i]) ** 2;
  return 2 * Math.asin(Math.min(Math.sqrt(square / 8), 1)) * 180 / Math.PI;
}

// ---- drawing: the mesh in parallel projection, such that it fills the box, far triangles first

const { vertices, triangles, normals, colors, enclosed } = data.mesh;
const count = vertices.length / 3, turned = new Float64Array(vertices.length);
const faces = Array.from({ length: triangles.length / 3 }, (_, face) => face);
const depth = new Float64Array(faces.length), light = [-0.45, -0.55, -0.7];  // from the upper left in front

function drawMesh(box) {
  let left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
  for (let i = 0; i < count; i++) {
    for (let row = 0; row < 3; row++) {
      turned[3 * i + row] = pose[3 * row] * vertices[3 * i] + pose[3 * row + 1] * vertices[3 * i + 1] + pose[3 * row + 2] * vertices[3 * i + 2];
    }
  }
  for (const i of enclosed) {
    left = Math.min(left, turned[3 * i]); right = Math.max(right, turned[3 * i]);
    top = Math.min(top, turned[3 * i + 1]); bottom = Math.max(bottom, turned[3 * i + 1]);
  }
  const size = scale * Math.sqrt(box[2] * box[3] / ((right - left) * (bottom - top)));
  const x = (i) => scale * (box[0] + box[2] / 2) + size * (turned[3 * i] - (left + right) / 2);
  const y = (i) => scale * (box[1] + box[3] / 2) + size * (turned[3 * i + 1] - (top + bottom) / 2);
  for (const face of faces) {
    depth[face] = turned[3 * triangles[3 * face] + 2] + turned[3 * triangles[3 * face + 1] + 2] + turned[3 * triangles[3 * face + 2] + 2];
  }
  faces.sort((a, b) => depth[b] - depth[a]);
  paint.clearRect(0, 0, layer.width, layer.height);
  paint.lineJoin = "round";
  for (const face of faces) {
    const [a, b, c] = [triangles[3 * face], triangles[3 * face + 1], triangles[3 * face + 2]];
    const xa = x(a), ya = y(a), xb = x(b), yb = y(b), xc = x(c), yc = y(c);
    if ((xb - xa) * (yc - ya) - (xc - xa) * (yb - ya) >= 0) continue;  // it faces away
    let lit = 0;
    for (let row = 0; row < 3; row++) {
      const along = pose[3 * row] * normals[3 * face] + pose[3 * row + 1] * normals[3 * face + 1] + pose[3 * row + 2] * normals[3 * face + 2];
      lit += along / 100 * light[row];
    }
    const shade = colors.slice(3 * face, 3 * face + 3).map((value) => Math.round(Math.min(value * (0.4 + 0.75 * Math.max(lit, 0)), 255)));
    paint.fillStyle = paint.strokeStyle = `rgb(${shade})`;
    paint.beginPath();
    paint.moveTo(xa, ya); paint.lineTo(xb, yb); paint.lineTo(xc, yc);
    paint.closePath();
    paint.fill(); paint.stroke();  // the stroke closes the seams
  }
}

function draw() {
  waiting = false;
  const head = data.heads[here], image = images.get(here);
  context.globalAlpha = 1;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (image) context.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (!hidden) {
    drawMesh(head.box);
    context.globalAlpha = byId("opacity").value / 100;
    context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
  }
  if (byId("box").checked) {
    context.strokeStyle = "#ffd200"; context.lineWidth = 2;
    context.strokeRect(...head.box.map((value) => value * scale));
  }
  const [pitch, yaw, roll] = eulerDegrees(pose).map((angle) => (angle + 0).toFixed(1));
  const away = head.label ? `, ${apartDegrees(pose, head.label).toFixed(1)}° from the label` : "";
  byId("angles").textContent = `pitch ${pitch}°, yaw ${yaw}°, roll ${roll}°${away}`;
}

function redraw() {
  if (!waiting) { waiting = true; requestAnimationFrame(draw); }
}

// ---- one head

const startOf = (head) => head.label || head.predicted[0];

function show(number) {
  here = number;
  const head = data.heads[here], decision = decisions[head.head];
  pose = decision && decision.rotation ? decision.rotation.slice() : startOf(head).slice();
  if (!images.has(here)) {
    const image = new Image();
    image.onload = redraw;
    image.src = head.picture;
    images.set(here, image);
  }
  byId("name").textContent = head.name;
  byId("facts").replaceChildren(...head.facts.flatMap(([title, value]) => [element("dt", title), element("dd", value)]));
  const starts = head.predicted.map((rotation, i) => {
    const away = head.label ? ` (${apartDegrees(rotation, head.label).toFixed(1)}°)` : "";
    return startButton(`${i + 1} ${data.models[i]}${away}`, rotation);
  });
  if (head.label) starts.unshift(startButton("the label", head.label));
  byId("starts").replaceChildren(...starts);
  tell();
  redraw();
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function startButton(text, rotation) {
  const button = element("button", text);
  button.addEventListener("click", () => { pose = rotation.slice(); redraw(); });
  return button;
}

function turnBy(axis, degrees) {
  pose = orthonormal(times(about(axis, degrees * Math.PI / 180), pose));
  redraw();
}

// ---- decisions, kept in the browser

function readDecisions() {
  try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
}

function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(decisions)); byId("problem").textContent = ""; } catch {
    byId("problem").textContent = "This browser keeps nothing: save the decisions before you close the page.";
  }
}

function decide(decision) {
  const head = data.heads[here];
  if (decision === "turn" && head.label && apartDegrees(pose, head.label) < 1e-3) decision = "accept";
  const rotation = decision === "drop" ? null : decision === "turn" ? pose.slice() : startOf(head).slice();
  decisions[head.head] = { decision, rotation };
  keep();
  openOne();
}

function undo() {
  delete decisions[data.heads[here].head];
  keep();
  show(here);
}

function openOne() {
  const after = [...data.heads.keys()].map((i) => (here + 1 + i) % data.heads.length);
  show(after.find((i) => !decisions[data.heads[i].head]) ?? here);
}

const SAID = { accept: "accepted", turn: "the turned head is the label", drop: "dropped" };

function tell() {
  const decision = decisions[data.heads[here].head];
  byId("decided").textContent = decision ? `Decided: ${SAID[decision.decision]}.` : "";
  for (const name of ["accept", "turn", "drop"]) byId(name).classList.toggle("chosen", decision?.decision === name);
  const counts = { accept: 0, turn: 0, drop: 0 };
  data.heads.forEach((head, i) => {
    const made = decisions[head.head]?.decision;
    if (made) counts[made]++;
    byId("strip").children[i].className = [made || "", i === here ? "here" : ""].join(" ");
  });
  const done = counts.accept + counts.turn + counts.drop;
  byId("count").textContent = `${done} of ${data.heads.length} decided: ${counts.accept} accepted, ${counts.turn} turned, ${counts.drop} dropped`;
}

function save() {
  const quoted = (text) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const columns = [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) => `r${row}${column}`));
  const rows = [["head", "name", "decision", ...columns].join(",")];
  for (const head of data.heads) {
    const made = decisions[head.head];
    if (!made) continue;
    const rotation = made.rotation ? made.rotation.map((value) => value.toFixed(6)) : Array(9).fill("");
    rows.push([head.head, quoted(head.name), made.decision, ...rotation].join(","));
  }
  if (rows.length === 1) { byId("problem").textContent = "There are no decisions yet."; return; }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
  link.download = `${data.command}_decisions.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// ---- pointer and keys

canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); canvas.focus(); });
canvas.addEventListener("pointermove", (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  const shown = canvas.getBoundingClientRect(), box = data.heads[here].box;
  const perPixel = canvas.width / shown.width;
  if (event.shiftKey) {
    const x = event.clientX - shown.left - (box[0] + box[2] / 2) * scale / perPixel;
    const y = event.clientY - shown.top - (box[1] + box[3] / 2) * scale / perPixel;
    const before = Math.atan2(y - event.movementY, x - event.movementX);
    let angle = Math.atan2(y, x) - before;
    if (Math.abs(angle) > Math.PI) angle -= Math.sign(angle) * 2 * Math.PI;
    turnBy("z", angle * 180 / Math.PI);
    return;
  }
  const radius = Math.sqrt(box[2] * box[3]) * scale / 2 / perPixel;  // so that the surface follows the pointer
  turnBy("y", -event.movementX / radius * 180 / Math.PI);
  turnBy("x", event.movementY / radius * 180 / Math.PI);
});
canvas.addEventListener("wheel", (event) => { event.preventDefault(); turnBy("z", Math.sign(event.deltaY) * STEP); }, { passive: false });
byId("opacity").addEventListener("input", redraw);
byId("box").addEventListener("change", redraw);

const step = (number) => show((here + number + data.heads.length) % data.heads.length);
const ACTIONS = {
  accept: () => decide("accept"), turn: () => decide("turn"), drop: () => decide("drop"), undo,
  next: () => step(1), previous: () => step(-1), open: openOne, save,
};
for (const [name, action] of Object.entries(ACTIONS)) byId(name).addEventListener("click", action);
const KEYS = { a: "accept", t: "turn", d: "drop", u: "undo", n: "next", p: "previous", o: "open", s: "save" };
const TURNS = { ArrowLeft: ["y", 1], ArrowRight: ["y", -1], ArrowUp: ["x", -1], ArrowDown: ["x", 1], q: ["z", -1], e: ["z", 1] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === "range") return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const head = data.heads[here];
  if (TURNS[key]) turnBy(TURNS[key][0], TURNS[key][1] * (event.shiftKey ? LARGE_STEP : STEP));
  else if (KEYS[key]) ACTIONS[KEYS[key]]();
  else if (key === "r") { pose = startOf(head).slice(); redraw(); }
  else if (/^[1-9]$/.test(key) && head.predicted[key - 1]) { pose = head.predicted[key - 1].slice(); redraw(); }
  else if (key === " " && event.target.tagName !== "BUTTON") { hidden = true; redraw(); }
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => { if (event.key === " ") { hidden = false; redraw(); } });

data.heads.forEach((head, i) => {
  const button = document.createElement("button"), image = document.createElement("img");
  image.src = head.picture; image.alt = head.name; image.loading = "lazy";
  button.append(image);
  button.addEventListener("click", () => show(i));
  byId("strip").append(button);
});
show(here);
})();
