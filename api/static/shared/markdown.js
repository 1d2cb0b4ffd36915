// Markdown as DOM nodes. Nothing that somebody wrote is ever read as HTML: all of it becomes text nodes of elements made here.

// Bounded, so that no line, however strange, keeps a browser busy.
const INLINE = new RegExp(
  [
    "`([^`\\n]{1,2000})`",
    "\\*\\*(?=\\S)([^\\n]{1,2000}?)\\*\\*",
    "\\*(?=[^\\s*])([^*\\n]{1,1000})\\*",
    "~~(?=\\S)([^~\\n]{1,1000})~~",
    "\\[([^\\[\\]\\n]{1,500})\\]\\((https?:\\/\\/[^\\s()]{1,2000}(?:\\([^\\s()]{0,500}\\)[^\\s()]{0,500}){0,4})(?: +\"[^\"\\n]{0,500}\")?\\)",
    "(https?:\\/\\/[^\\s<>\"'`()\\[\\]*]{0,2000}[^\\s<>\"'`()\\[\\]*.,;:!?](?:\\([^\\s<>\"'`()\\[\\]*]{1,500}\\))?)",
  ].join("|"),
);
const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]{0,40}).*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,20})([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?(.*)$/;
const DIVIDER = /^\|?(:?-+:?\|)+(:?-+:?)?$/;
const MAX_TABLE = 2000;
const MAX_DEPTH = 8;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of children.flat()) made.append(child);
  return made;
}

export function link(address, text) {
  return element("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, text);
}

export function markdown(text, depth = 0) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const nodes = [];
  let at = 0;
  while (at < lines.length) {
    const [node, next] = block(lines, at, depth);
    if (node) nodes.push(node);
    at = next;
  }
  return nodes;
}

function block(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [element(`h${Math.min(heading[1].length, 4)}`, {}, inline(heading[2])), at + 1];
  if (RULE.test(line)) return [element("hr"), at + 1];
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && divides(lines[at + 1])) return table(lines, at);
  return paragraph(lines, at, depth);
}

function divides(line) {
  return line !== undefined && line.length <= MAX_TABLE && DIVIDER.test(line.replace(/\s/g, ""));
}

function code(lines, at, [, mark, language]) {
  let end = at + 1;
  while (end < lines.length && !(lines[end].trim().startsWith(mark) && !lines[end].trim().replaceAll(mark[0], ""))) end += 1;
  const text = lines.slice(at + 1, end).join("\n");
  return [element("pre", language ? { "data-language": language } : {}, element("code", {}, text)), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => QUOTE.exec(line)[1]);
  return [element("blockquote", {}, markdown(inner.join("\n"), depth + 1)), end];
}

function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const made = element(ordered ? "ol" : "ul", ordered ? { start: String(parseInt(mark, 10)) } : {});
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length > indent.length + 1 || item[1].length < indent.length || /\d/.test(item[2]) !== ordered) break;
    const inner = [item[3]];
    const width = indent.length + 2;
    at += 1;
    while (at < lines.length && (lines[at].search(/\S/) >= width || (!lines[at].trim() && lines[at + 1]?.search(/\S/) >= width))) {
      inner.push(lines[at].slice(Math.min(lines[at].search(/\S|$/), width + (ordered ? 1 : 0))));
      at += 1;
    }
    made.append(element("li", {}, tight(markdown(inner.join("\n"), depth + 1))));
    if (at + 1 < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1])) at += 1;
  }
  return [made, at];
}

// A paragraph that begins an item stands in its line.
function tight(nodes) {
  return nodes[0]?.tagName === "P" ? [...nodes[0].childNodes, ...nodes.slice(1)] : nodes;
}

function table(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
  const row = (line, name) => element("tr", {}, cells(line).map((cell) => element(name, {}, inline(cell.trim()))));
  const body = element("tbody");
  const made = element("table", {}, element("thead", {}, row(lines[at], "th")), body);
  at += 2;
  while (at < lines.length && lines[at].includes("|") && lines[at].trim()) {
    body.append(row(lines[at], "td"));
    at += 1;
  }
  return [made, at];
}

function paragraph(lines, at, depth) {
  const begins = (line) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || (depth < MAX_DEPTH && (QUOTE.test(line) || ITEM.test(line)));
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines[end])) end += 1;
  const pieces = lines.slice(at, end).flatMap((line, place) => (place ? [element("br"), ...inline(line)] : inline(line)));
  return [element("p", {}, pieces), end];
}

function inline(text, depth = 0) {
  const nodes = [];
  while (text) {
    const found = depth < MAX_DEPTH ? INLINE.exec(text) : null;
    if (!found) {
      nodes.push(text);
      break;
    }
    if (found.index) nodes.push(text.slice(0, found.index));
    nodes.push(piece(found, depth));
    text = text.slice(found.index + found[0].length);
  }
  return nodes;
}

function piece([, plain, bold, slanted, struck, label, address, bare], depth) {
  if (plain !== undefined) return element("code", {}, plain);
  if (bold !== undefined) return element("strong", {}, inline(bold, depth + 1));
  if (slanted !== undefined) return element("em", {}, inline(slanted, depth + 1));
  if (struck !== undefined) return element("s", {}, inline(struck, depth + 1));
  if (label !== undefined) return link(address, label);
  return link(bare, bare);
}
