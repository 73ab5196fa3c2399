// The conversation: what was asked, what came of it, and what the page sends back.

import { ask } from "/page/events.js";
import { link, render } from "/page/markdown.js";

const KEY = "conversation";
const CUT = { kind: "Cut", message: "The connection broke before the answer was whole.", retryable: true };
// Tools that run in this page. The server has their names and no function for them.
const TOOLS = {
  local_time: () => ({ now: new Date().toString(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone }),
};

const at = (id) => document.getElementById(id);
const log = at("log"), form = at("form"), text = at("text"), card = at("card");
let turns = [];       // {question, card, body, blocks, state, failure, next}
let history = null;   // what `done` said: sent back as it is
let running = null;   // the AbortController of the answer that comes in
let image = null;     // a data URL

// Keeping: a reload shows the conversation again, and asks nothing.

function save() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ turns, history }));
  } catch { /* too large to keep: the page goes on without */ }
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (!kept) return;
  ({ turns, history } = kept);
  for (const turn of turns) {
    if (turn.state === "streaming") finish(turn, "failed", CUT);
    show(turn);
  }
}

// Asking

function submit(question, asCard) {
  if (running || !question.text.trim() && !question.image) return;
  const parts = [];
  if (question.text.trim()) parts.push({ type: "text", text: question.text });
  if (question.image) parts.push({ type: "image", data: question.image.split(",")[1] });
  const turn = { question, card: asCard, blocks: [], state: "streaming", body: { message: parts, history } };
  turns.push(turn);
  show(turn);
  run(turn);
}

async function run(turn) {
  turn.state = "streaming";
  turn.failure = null;
  turn.next = null;
  running = new AbortController();
  update(turn);
  busy(true);
  try {
    const body = turn.card ? { ...turn.body, card: true } : turn.body;
    for await (const event of ask(body, running.signal)) {
      take(turn, event);
      // The end was said. Its buttons may be clicked before the connection is closed, and that asks anew.
      if (turn.state !== "streaming") break;
    }
    if (turn.state === "streaming") finish(turn, "failed", CUT);
  } catch (error) {
    if (error.name === "AbortError") stopped(turn);
    else finish(turn, "failed", CUT);
  }
  running = null;
  busy(false);
  update(turn);
  save();
  goOn(turn);
}

function again(turn) {
  // What the tools of a failed run gave is in its history: they do not run a second time.
  if (turn.failure?.history?.length) turn.body = { history: turn.failure.history };
  else turn.blocks = [];
  turn.blocks = turn.blocks.filter((block) => block.kind === "call");
  run(turn);
}

function stopped(turn) {
  const said = turn.blocks.filter((block) => block.kind === "text").map((block) => block.text).join("");
  const known = history === null ? [] : [history].flat();
  if (said && turn.body.message) {
    history = [...known, { role: "user", parts: turn.body.message }, { role: "assistant", content: said }];
  }
  finish(turn, "stopped");
}

function finish(turn, state, failure = null) {
  turn.state = state;
  turn.failure = failure;
  at("status").textContent = state === "done" ? "The answer is complete." : failure?.message ?? "The answer was stopped.";
}

// What comes in

const TAKE = {
  token: (turn, data) => piece(turn, "text", data.content),
  reasoning: (turn, data) => piece(turn, "reasoning", data.reasoning),
  tool_call(turn, { tool_call: delta }) {
    const call = callOf(turn, delta.id, delta.name);
    call.text = (call.text ?? "") + delta.arguments;
  },
  tool_calls(turn, data) {
    for (const { id, name, arguments: given } of data.metadata.tool_calls) callOf(turn, id, name).arguments = given;
  },
  tool_result(turn, { tool_result: result }) {
    Object.assign(callOf(turn, result.id, result.name), { result: result.content, failed: Boolean(result.is_error), waits: null });
  },
  source: (turn, data) => turn.blocks.push({ kind: "source", source: data.source }),
  file: (turn, data) => turn.blocks.push({ kind: "file", file: data.file }),
  history(turn, data) {
    // A call has run that was approved: whatever happens next, it must not be approved again.
    history = data.history;
    turn.body = { history };
  },
  partial: (turn, data) => place(turn, data.value),
  output_retry(turn) {
    turn.blocks = turn.blocks.filter((block) => block.kind !== "text" && block.kind !== "place");
  },
  done(turn, data) {
    history = data.history;
    turn.figures = data.metadata;
    turn.cutShort = data.finish_reason === "length";
    if (data.output) place(turn, data.output);
    const pending = data.metadata.pending ?? [];
    for (const call of pending) callOf(turn, call.id, call.name).waits = data.to_approve.includes(call.id) ? "approval" : "page";
    if (pending.length) turn.next = { history, approvals: {}, results: {} };
    finish(turn, pending.length ? "waiting" : "done");
  },
  failed(turn, data) {
    if (data.history) history = data.history;
    finish(turn, "failed", data);
  },
};

function take(turn, event) {
  TAKE[event.name]?.(turn, event.data);
  update(turn);
}

function piece(turn, kind, more) {
  const last = turn.blocks.at(-1);
  if (last?.kind === kind) last.text += more;
  else turn.blocks.push({ kind, text: more });
}

function callOf(turn, id, name) {
  let call = turn.blocks.find((block) => block.kind === "call" && block.id === id);
  if (!call) turn.blocks.push(call = { kind: "call", id, name });
  return call;
}

function place(turn, value) {
  let block = turn.blocks.find((one) => one.kind === "place");
  if (!block) turn.blocks.push(block = { kind: "place" });
  block.value = value;
}

// Calls that wait for the page

async function goOn(turn) {
  if (turn.state !== "waiting") return;
  for (const call of turn.blocks.filter((block) => block.waits === "page")) {
    const run = TOOLS[call.name];
    call.result = JSON.stringify(run ? await run(call.arguments) : { error: "this page has no such tool" });
    call.waits = null;
    turn.next.results[call.id] = JSON.parse(call.result);
  }
  if (turn.blocks.some((block) => block.waits)) {
    draw(turn);
    save();
    turn.node.querySelector(".asks button")?.focus();
    return;
  }
  turn.body = turn.next;
  run(turn);
}

function decide(turn, call, decision) {
  call.waits = null;
  call.decision = decision;
  turn.next.approvals[call.id] = decision;
  goOn(turn);
}

// What is seen

function show(turn) {
  at("hello").hidden = true;
  const asked = node("div", "asked");
  if (turn.question.image) asked.append(Object.assign(node("img"), { src: turn.question.image, alt: "The image you sent" }));
  if (turn.question.text) asked.append(node("p", "", turn.question.text));
  turn.node = node("article", "answer");
  turn.node.setAttribute("aria-label", "Answer");
  // Not with what is saved.
  Object.defineProperty(turn, "node", { enumerable: false });
  Object.defineProperty(turn, "frame", { enumerable: false, writable: true, value: 0 });
  log.append(asked, turn.node);
  draw(turn);
  log.scrollTop = log.scrollHeight;
}

// At most once for each frame, however fast the tokens come.
function update(turn) {
  turn.frame ||= requestAnimationFrame(() => {
    turn.frame = 0;
    draw(turn);
  });
}

function draw(turn) {
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const open = new Set([...turn.node.querySelectorAll("details[open]")].map((one) => one.dataset.key));
  const focused = turn.node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const shown = turn.blocks.map((block, n) => drawBlock(turn, block, String(n))).filter(Boolean);
  shown.push(...sources(turn), ...ending(turn));
  turn.node.replaceChildren(...shown);
  turn.node.classList.toggle("streaming", turn.state === "streaming");
  for (const one of turn.node.querySelectorAll("details")) one.open = open.has(one.dataset.key);
  if (focused) turn.node.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  if (follows) log.scrollTop = log.scrollHeight;
}

function drawBlock(turn, block, key) {
  if (block.kind === "text") return turn.card ? null : drawText(block);
  if (block.kind === "reasoning") return drawReasoning(turn, block, key);
  if (block.kind === "call") return block.waits === "approval" ? drawApproval(turn, block) : drawCall(block, key);
  if (block.kind === "place") return drawPlace(block.value);
  if (block.kind === "file") return drawFile(block.file);
  return null;
}

function drawText(block) {
  const shown = node("div", "text");
  shown.append(render(block.text));
  return shown;
}

function drawReasoning(turn, block, key) {
  const shown = node("details", "reasoning");
  shown.dataset.key = key;
  const thinks = turn.state === "streaming" && turn.blocks.at(-1) === block;
  const summary = node("summary", thinks ? "working" : "", thinks ? "Thinking" : "Thought about it");
  summary.dataset.key = `${key}s`;
  shown.append(summary, node("div", "body", block.text));
  return shown;
}

function drawCall(call, key) {
  const shown = node("details", "call");
  shown.dataset.key = key;
  const summary = node("summary");
  summary.dataset.key = `${key}s`;
  const brief = Object.values(call.arguments ?? {}).map(String).join(", ");
  summary.append(stateOf(call), node("b", "", call.name), ` ${brief}`);
  const given = call.arguments === undefined ? call.text ?? "" : JSON.stringify(call.arguments, null, 2);
  shown.append(summary, node("pre", "", given));
  if (call.result !== undefined) shown.append(node("pre", "", `→ ${call.result}`));
  return shown;
}

function stateOf(call) {
  if (call.decision !== undefined && call.decision !== true) return node("span", "state bad", "rejected");
  if (call.failed) return node("span", "state bad", "failed");
  return call.result === undefined ? node("span", "state working", "running") : node("span", "state good", "done");
}

function drawApproval(turn, call) {
  const shown = node("section", "asks");
  shown.setAttribute("aria-label", "Approval");
  const given = node("dl");
  for (const [name, value] of Object.entries(call.arguments ?? {})) {
    given.append(node("dt", "", name), node("dd", "", typeof value === "string" ? value : JSON.stringify(value)));
  }
  const reason = Object.assign(node("input"), { type: "text", placeholder: "Reason, if you reject it" });
  reason.setAttribute("aria-label", reason.placeholder);
  reason.dataset.key = `${call.id}r`;
  const yes = button("Approve", () => decide(turn, call, true), "primary");
  const no = button("Reject", () => decide(turn, call, reason.value.trim() || false));
  yes.dataset.key = `${call.id}y`;
  no.dataset.key = `${call.id}n`;
  const row = node("div", "row");
  row.append(yes, no, reason);
  shown.append(node("h3", "", `May ${call.name} run?`), given, row);
  return shown;
}

function drawPlace(value) {
  const shown = node("section", "place");
  const people = value.population ? `${value.population.toLocaleString()} people` : "";
  shown.append(node("h3", "", value.name ?? "…"), node("p", "sub", [value.country, people].filter(Boolean).join(" · ")));
  shown.append(node("p", "", value.summary ?? ""));
  const list = node("ul");
  for (const sight of value.sights ?? []) list.append(node("li", "", sight));
  shown.append(list);
  return shown;
}

function drawFile(file) {
  const url = file.url ?? `data:${file.media_type};base64,${file.data}`;
  if (file.type === "image") return Object.assign(node("img", "made"), { src: url, alt: "An image that the model made" });
  return Object.assign(node("a", "", file.name ?? "A file that the model made"), { href: url, download: file.name ?? "" });
}

function sources(turn) {
  const found = new Map();
  for (const { kind, source } of turn.blocks) if (kind === "source") found.set(source.url ?? source.title, source);
  if (!found.size) return [];
  const list = node("ul", "sources");
  list.setAttribute("aria-label", "Sources");
  for (const source of found.values()) {
    const item = node("li");
    item.append(link(source.url ?? "", source.title ?? source.url ?? "Source"));
    list.append(item);
  }
  return [list];
}

function ending(turn) {
  if (turn.state === "streaming") return turn.blocks.length ? [] : [node("p", "working", "")];
  if (turn.state === "stopped") return [note("Stopped.", button("Again", () => again(turn)))];
  if (turn.state === "failed") {
    const shown = note(turn.failure.message, turn.failure.retryable && button("Again", () => again(turn)));
    shown.classList.add("bad");
    shown.setAttribute("role", "alert");
    return [shown];
  }
  if (turn.state !== "done" || !turn.figures) return [];
  const { model, tokens, duration } = turn.figures;
  const end = turn.cutShort ? [note("The answer reached its limit of length.")] : [];
  return [...end, node("p", "figures", `${model} · ${tokens.total_tokens} tokens · ${duration.toFixed(1)} s`)];
}

function note(message, action) {
  const shown = node("div", "note");
  shown.append(node("span", "", message));
  if (action) shown.append(action);
  return shown;
}

function node(name, kind = "", content) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (content !== undefined) made.textContent = content;
  return made;
}

function button(label, act, kind = "") {
  const made = node("button", kind, label);
  made.type = "button";
  made.dataset.key = label;
  made.addEventListener("click", act);
  return made;
}

function busy(is) {
  at("send").hidden = is;
  at("stop").hidden = !is;
  if (is) at("status").textContent = "The answer is being written.";
  else if (!turns.at(-1)?.node.contains(document.activeElement)) text.focus();
}

// The form

function grow() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

async function attach(file) {
  if (!file) return;
  const picture = await createImageBitmap(file).catch(() => null);
  at("unreadable").hidden = picture !== null;
  if (picture === null) return;
  const scale = Math.min(1, 1280 / Math.max(picture.width, picture.height));
  const canvas = Object.assign(node("canvas"), { width: Math.max(1, picture.width * scale), height: Math.max(1, picture.height * scale) });
  const pencil = canvas.getContext("2d");
  pencil.fillStyle = "white";  // A JPEG has no transparency, and would make it black.
  pencil.fillRect(0, 0, canvas.width, canvas.height);
  pencil.drawImage(picture, 0, 0, canvas.width, canvas.height);
  image = canvas.toDataURL("image/jpeg", 0.85);
  at("preview").src = image;
  at("attached").hidden = false;
}

function detach() {
  image = null;
  at("file").value = "";
  at("attached").hidden = true;
  at("unreadable").hidden = true;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return;
  submit({ text: text.value, image }, card.checked);
  text.value = "";
  detach();
  grow();
});
text.addEventListener("input", grow);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
text.addEventListener("paste", (event) => attach(event.clipboardData.files[0]));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  attach(event.dataTransfer.files[0]);
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
at("attach").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") at("file").click();
});
at("file").addEventListener("change", () => attach(at("file").files[0]));
at("detach").addEventListener("click", detach);
at("stop").addEventListener("click", () => running?.abort());
at("new").addEventListener("click", () => {
  running?.abort();
  turns = [];
  history = null;
  save();
  location.reload();
});
for (const suggestion of document.querySelectorAll("[data-ask]")) {
  suggestion.addEventListener("click", () => submit({ text: suggestion.dataset.ask, image: null }, "card" in suggestion.dataset));
}
addEventListener("pagehide", save);
restore();
