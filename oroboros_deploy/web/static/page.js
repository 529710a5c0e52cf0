// Keeps a page fresh: whenever the registry has news, it is fetched again and its parts marked data-live are replaced.
"use strict";

const SETTLE = 150; // ms between the first news and the fetch, so that a burst costs one
const PENDING = 5000; // ms between looks while something goes on: that nobody was heard of is no news to the registry
const AGAIN = 2000; // ms from a break to a look whether the browser mended it
const events = document.currentScript.dataset.events; // from what the page was made of on
const units = JSON.parse(document.currentScript.dataset.units); // the seconds in each and its name, the largest first
const link = document.getElementById("link");
const served = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part, part.innerHTML]));
let waiting = null;
let opened = false;
let source = null;

// The browser opens a stream again that ended, but not one that was answered with an error, nor on a page it had kept.
function follow() {
  if (document.hidden) return leave();
  if (source?.readyState === EventSource.OPEN) return;
  if (source) say("lost");
  if (source?.readyState !== EventSource.CONNECTING) listen();
}

function listen() {
  source = new EventSource(events);
  source.onopen = () => {
    say("live");
    if (opened) soon(); // what hosts were asked meanwhile is no event
    opened = true;
  };
  source.onmessage = soon;
  source.onerror = () => setTimeout(follow, AGAIN);
}

function leave() {
  source?.close(); // it has few connections to a server, and all its tabs share them
}

function soon() {
  if (!document.hidden) waiting ??= setTimeout(refresh, SETTLE);
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    say("lost"); // the next news, or the next look, tries again
  } finally {
    waiting = null;
  }
}

function show(fresh) {
  document.title = fresh.title;
  const icon = (page) => page.querySelector("link[rel=icon]");
  if (icon(document).getAttribute("href") !== icon(fresh).getAttribute("href")) icon(document).replaceWith(icon(fresh));
  for (const [part, before] of served) {
    const news = fresh.getElementById(part.id);
    if (news && news.innerHTML !== before) replace(part, news.innerHTML);
  }
  localize();
  tick();
}

function replace(part, html) {
  const picked = getSelection();
  if (!picked.isCollapsed && part.contains(picked.anchorNode)) return setTimeout(soon, PENDING); // somebody copies
  const place = part.contains(document.activeElement) && key(document.activeElement);
  const open = new Map([...part.querySelectorAll("details")].map((details, index) => [whose(details, index), details.open]));
  served.set(part, html);
  part.innerHTML = html;
  part.querySelectorAll("details").forEach((details, index) => (details.open = open.get(whose(details, index)) ?? details.open));
  if (place) [...part.querySelectorAll("a, summary, pre")].find((each) => key(each) === place)?.focus();
}

// An environment's hosts are folded or not by how it stands: which one of several it is tells nothing.
function whose(details, index) {
  const place = details.closest(".place");
  return place ? place.querySelector("h3").textContent + [...place.querySelectorAll("details")].indexOf(details) : index;
}

function key(element) {
  return element.getAttribute("href") ?? element.getAttribute("aria-label") ?? element.textContent;
}

// Below nothing it is the time of another clock.
function ago(seconds) {
  const told = about(Math.abs(seconds));
  return told ? `${told} ${seconds > 0 ? "ago" : "ahead of the clock"}` : "just now";
}

// Seconds in their largest unit, the nearest number of it; empty below a minute.
function about(seconds) {
  const fitting = units.slice(0, -1).findIndex(([size], index) => seconds + units[index + 1][0] / 2 >= size);
  if (fitting < 0) return "";
  const [size, unit] = units[fitting];
  return `${Math.floor(seconds / size + 0.5)} ${unit}`;
}

// Whole seconds in at most two units, as the server writes them.
function passed(seconds) {
  const told = [];
  const largest = units.findIndex(([size]) => seconds >= size); // -1 of less than a second: the last unit
  for (const [size, unit] of units.slice(largest).slice(0, 2)) {
    if (seconds >= size || !told.length) told.push(`${Math.floor(seconds / size)} ${unit}`);
    seconds %= size;
  }
  return told.join(" ");
}

// Times as they are written in UTC, by what they look like; in the browser's own zone they look the same.
const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const date = { day: "numeric", month: "short" };
const FORMS = [
  [/^\d\d:\d\d$/, clock],
  [/^\d\d:\d\d:\d\d$/, { ...clock, second: "2-digit" }],
  [/^\d+ \w+, \d\d:\d\d$/, { ...date, ...clock }],
  [/^\d+ \w+ \d{4}, \d\d:\d\d$/, { ...date, year: "numeric", ...clock }],
  [/^\d+ \w+ \d{4}, \d\d:\d\d:\d\d$/, { ...date, year: "numeric", ...clock, second: "2-digit" }],
];
const DAY = { weekday: "long", day: "numeric", month: "long", year: "numeric" };
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const elsewhere = !/^(Etc\/)?(UTC|GMT|Universal|Zulu|UCT)$/.test(zone);

function localize() {
  if (!elsewhere) return;
  write(document.getElementById("zone"), `Times are those of ${zone}; each says its UTC when it is pointed at.`);
  for (const each of document.querySelectorAll("time[datetime]:not([data-ago], [data-local])")) {
    const form = FORMS.find(([looks]) => looks.test(each.textContent))?.[1];
    if (!form) continue;
    each.title ||= `${each.textContent} UTC`;
    each.dataset.local = "";
    each.textContent = new Date(each.dateTime).toLocaleString("en-GB", form);
  }
  document.querySelectorAll(".stream:not([data-local])").forEach(regroup);
}

// The days of a list are those of its times.
function regroup(stream) {
  if (!stream.querySelector(".day")) return;
  stream.dataset.local = "";
  stream.querySelectorAll(".day").forEach((day) => day.remove());
  let last = "";
  for (const each of stream.querySelectorAll(".attempt")) {
    const day = new Date(each.querySelector("time[datetime]").dateTime).toLocaleDateString("en-GB", DAY);
    if (day !== last) each.insertAdjacentHTML("beforebegin", `<li class="day"><h3>${day}</h3></li>`);
    last = day;
  }
}

function tick() {
  const since = (time) => Math.floor((Date.now() - Date.parse(time)) / 1000);
  for (const each of document.querySelectorAll("[data-ago]")) write(each, ago(since(each.dateTime)));
  for (const each of document.querySelectorAll("[data-since]")) write(each, passed(Math.max(0, since(each.dataset.since))));
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(state) {
  link.hidden = false;
  link.dataset.state = state;
  write(link, state === "live" ? "page up to date" : "page not up to date, trying again");
}

localize();
tick();
follow();
addEventListener("pagehide", leave);
addEventListener("pageshow", (shown) => shown.persisted && follow());
document.addEventListener("visibilitychange", follow);
setInterval(tick, 1000);
setInterval(() => document.querySelector("[data-pending]") && soon(), PENDING);
