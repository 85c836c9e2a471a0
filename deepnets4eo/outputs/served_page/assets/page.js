// What all served pages share: elements, messages, buttons with keys, and how what was done is sent.
"use strict";

const $ = (id) => document.getElementById(id);
const keys = {}; // key → the button that it presses
let turn = Promise.resolve(); // actions are done one after the other, however fast keys are pressed

const inTurn = (act) => { turn = turn.then(act).catch((error) => complain(String(error))); };
const say = (text) => { $("status").textContent = text; };

function complain(text) {
  $("problem").hidden = !text;
  $("problem").textContent = text;
}

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "circle"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children); // text, never HTML
  return element;
}

async function load(path) {
  const response = await fetch(path);
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

// Sends what was done: the status and what the server says now, or null where nothing is served any more.
async function send(path, body, verb) {
  try {
    const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return { status: response.status, ok: response.ok, now: await response.json() };
  } catch {
    complain(`Not saved: the page is not served any more. Call \`${verb}\` again, and open the address that it prints.`);
    return null;
  }
}

// A button for each choice with its colour; `keyOf(number)` presses it where it is a key.
function addChoices(choices, keyOf, act) {
  choices.forEach((choice, number) => {
    const key = keyOf(number);
    const parts = choice.title.split(/(?<=_)/).flatMap((part) => [part, make("wbr")]); // names of classes break at underscores
    const button = make("button", { type: "button", "aria-pressed": "false" }, make("span", {}, ...parts));
    if (key) {
      button.setAttribute("aria-keyshortcuts", key);
      button.append(make("kbd", {}, key));
      keys[key] = button;
    }
    if (choice.color) button.style.setProperty("--grade", `rgb(${choice.color.join(" ")})`);
    button.onclick = () => act(choice);
    choice.button = button;
    $("answers").append(button);
  });
}

function showDone(done, all, text) {
  $("count").textContent = text;
  [$("progress").max, $("progress").value] = [all, done];
}

// Keys press buttons, unless they are switched off or text is being written.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.tagName === "TEXTAREA") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.target.tagName === "SELECT" || !$("keys").checked) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!keys[key]) return;
  keys[key].click();
  event.preventDefault();
});

// What other pages have done meanwhile.
const whenSeenAgain = (act) => document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") inTurn(act); });
