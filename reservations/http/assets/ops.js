"use strict";

const SHOWN = 40;
const AGAIN_MS = 2000;
const byId = (id) => document.getElementById(id);
let token = sessionStorage.getItem("token") ?? "";

function say(text, is) {
  byId("state").textContent = text;
  byId("state").dataset.is = is;
}

function row(cells, kind) {
  const made = document.createElement("tr");
  if (kind) made.dataset.kind = kind;
  for (const cell of cells) {
    const place = document.createElement("td");
    place.append(cell);
    made.append(place);
  }
  return made;
}

function showLines(lines) {
  const body = byId("lines");
  for (const line of lines) {
    const time = new Date(line.at).toLocaleTimeString();
    body.prepend(row([time, line.kind, line.what, line.outcome, line.reservation_id], line.kind));
  }
  while (body.rows.length > SHOWN) body.lastElementChild.remove();
}

function showSlots(slots) {
  if (slots === null) return;
  byId("slots").replaceChildren(...slots.map((slot) => {
    const meter = document.createElement("meter");
    if (slot.capacity !== null) {
      meter.max = slot.capacity;
      meter.value = slot.taken;
    }
    const taken = slot.capacity === null ? `${slot.taken}` : `${slot.taken} of ${slot.capacity}`;
    return row([slot.trip_date, slot.trip_id, taken, slot.capacity === null ? "" : meter]);
  }));
}

function showBatches(sizes) {
  const most = Math.max(10, ...sizes);
  byId("batches").replaceChildren(...sizes.map((size, place) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = Math.max(2, (58 * size) / most);
    for (const [name, value] of Object.entries({ x: place * 6, y: 60 - height, width: 5, height })) {
      bar.setAttribute(name, value);
    }
    return bar;
  }));
}

function troubles(snapshot) {
  const found = [];
  if (snapshot.backlog === null) found.push("The broker does not answer: no writes are taken, nothing new is seen.");
  if (snapshot.slots === null) found.push("The database does not answer: no reads are served.");
  if (!snapshot.takes_writes) found.push("Writes are refused: too many commands wait.");
  return found;
}

function show(snapshot) {
  byId("commands").textContent = snapshot.rates.command.toFixed(1);
  byId("events").textContent = snapshot.rates.event.toFixed(1);
  byId("letters").textContent = snapshot.rates["dead letter"].toFixed(1);
  byId("backlog").textContent = snapshot.backlog ?? "unknown";
  const found = troubles(snapshot);
  say(found.join(" ") || "Live", found.length ? "lost" : "live");
  showBatches(snapshot.batches);
  showSlots(snapshot.slots);
  showLines(snapshot.lines);
}

/* Not EventSource: that can't send a token. */
async function watch() {
  const answer = await fetch("ops/stream", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (answer.status === 401 || answer.status === 403) return ask((await answer.json()).message);
  if (!answer.ok) throw new Error((await answer.json()).message);
  byId("lines").replaceChildren();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error("The stream ended.");
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) show(JSON.parse(event.slice("data: ".length)));
  }
}

function ask(message) {
  byId("ask").hidden = false;
  say(message, "lost");
}

async function keepWatching() {
  try {
    await watch();
  } catch (error) {
    say(`${error.message} Trying again …`, "lost");
    setTimeout(keepWatching, AGAIN_MS);
  }
}

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  byId("ask").hidden = true;
  keepWatching();
});
keepWatching();
