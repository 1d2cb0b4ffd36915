// A shared chat, read with the reader's own cookie: who is not signed in is asked to do so first.

import { element, link, markdown } from "./markdown.js";

const IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;
const WEB = /^https?:\/\//;
const MILLISECONDS_FROM = 1e11;

const main = document.getElementById("main");
const shareId = location.pathname.split("/").pop();

async function load() {
  let reply;
  try {
    reply = await fetch(`/api/chats/share/${shareId}`, { headers: { Accept: "application/json" } });
  } catch {
    return notice("No connection", "The server cannot be reached. Try again in a moment.");
  }
  if (reply.status === 401) return signIn();
  if (reply.status === 404) return notice("Not there any more", "This chat is not shared, or no longer. Ask whoever sent you the link.");
  const body = await reply.json().catch(() => ({}));
  if (!reply.ok) return notice("That did not work", body.detail ?? `The server answered ${reply.status}.`);
  return show(body);
}

function put(title, ...nodes) {
  document.title = title;
  main.replaceChildren();
  for (const node of nodes.flat()) main.append(node);
  main.removeAttribute("aria-busy");
}

function notice(title, text) {
  put(title, element("section", { class: "notice" }, element("h1", {}, title), element("p", {}, text)));
}

function signIn() {
  const field = (label, attributes) => element("label", {}, label, element("input", { required: "", ...attributes }));
  const fault = element("p", { class: "error", role: "alert" });
  const button = element("button", { type: "submit" }, "Sign in");
  const form = element(
    "form",
    { method: "post" },
    element("h1", {}, "Sign in to read this chat"),
    field("E-mail", { name: "email", type: "email", autocomplete: "username" }),
    field("Password", { name: "password", type: "password", autocomplete: "current-password" }),
    button,
    fault,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    fault.textContent = await refused(Object.fromEntries(new FormData(form)));
    button.disabled = false;
    if (!fault.textContent) await load().catch(() => notice("That did not work", "Something in this chat cannot be shown."));
  });
  put("Sign in", form);
  form.elements.email.focus();
}

// Signs in, and says what went wrong, or nothing.
async function refused(given) {
  try {
    const headers = { "Content-Type": "application/json" };
    const reply = await fetch("/api/auths/signin", { method: "POST", headers, body: JSON.stringify(given) });
    return reply.ok ? "" : ((await reply.json().catch(() => ({}))).detail ?? `The server answered ${reply.status}.`);
  } catch {
    return "The server cannot be reached. Try again in a moment.";
  }
}

function show(share) {
  const shared = element("p", {}, `Shared by ${share.user.name} · `, moment(share.shared_at));
  const head = element("header", {}, element("h1", {}, share.title), shared);
  const said = conversation(share.chat);
  const articles = said.map((message) => article(message, share.user.name));
  put(share.title, head, articles.length ? articles : element("p", { class: "notice" }, "Nothing has been said in this chat."));
}

// The branch of a tree that ends at its current message, else the list.
function conversation({ messages, history }) {
  const nodes = history?.messages;
  const branch = [];
  const seen = new Set();
  let at = history?.currentId;
  while (isObject(nodes) && typeof at === "string" && Object.hasOwn(nodes, at) && !seen.has(at)) {
    seen.add(at);
    branch.unshift(nodes[at]);
    at = nodes[at].parentId;
  }
  const all = branch.length ? branch : Array.isArray(messages) && messages.length ? messages : Object.values(nodes ?? {});
  return all.filter(isObject);
}

function article(message, owner) {
  const own = message.role === "user";
  const name = own ? owner : message.role === "assistant" ? text(message.modelName ?? message.model) || "Assistant" : text(message.role);
  const about = element("div", { class: "about" }, element("strong", {}, name), moment(message.timestamp));
  const body = element("div", { class: "body" }, content(message.content));
  const fault = text(message.error?.content ?? "");
  if (fault) body.append(element("p", { class: "error" }, fault));
  return element("article", { class: own ? "user" : "other" }, about, body);
}

function content(given) {
  if (typeof given === "string") return markdown(given);
  if (Array.isArray(given)) return given.flatMap(part);
  return given === null || given === undefined ? [] : [element("pre", {}, element("code", {}, JSON.stringify(given, null, 2)))];
}

function part(given) {
  if (!isObject(given)) return content(given);
  if (typeof given.text === "string") return markdown(given.text);
  const address = text(given.image_url?.url ?? given.image_url ?? "");
  if (IMAGE.test(address)) return [element("img", { src: address, alt: "An image of the chat" })];
  if (WEB.test(address)) return [element("p", {}, link(address, address))];
  return address ? [] : content({ ...given });
}

function moment(seconds) {
  if (typeof seconds !== "number") return "";
  const date = new Date(Math.abs(seconds) < MILLISECONDS_FROM ? seconds * 1000 : seconds);
  if (Number.isNaN(date.getTime())) return "";
  return element("time", { datetime: date.toISOString() }, date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value) {
  return typeof value === "string" ? value : "";
}

await load().catch(() => notice("That did not work", "Something in this chat cannot be shown."));
