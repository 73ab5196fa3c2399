// Markdown as DOM nodes. What the model writes is never taken for HTML: every text goes in as text.

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*([\s\S]+?)\*\*|\*([^\s*][^*]*?)\*|\[([^\]]+)\]\(([^)\s]+)\)|(https?:\/\/[^\s<>)]+)/;
const BULLET = /^(\s*)([-*+]|\d+[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;

export function render(text) {
  const root = document.createDocumentFragment();
  blocks(text.split("\n"), root);
  return root;
}

function blocks(lines, root) {
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s*(```+|~~~+)/);
    if (!line.trim()) at += 1;
    else if (fence) at = code(lines, at, fence[1], root);
    else if (/^#{1,6}\s/.test(line)) at = heading(lines, at, root);
    else if (RULE.test(line)) at = (root.append(element("hr")), at + 1);
    else if (/^\s*>/.test(line)) at = quote(lines, at, root);
    else if (BULLET.test(line)) at = list(lines, at, root);
    else if (isTable(lines, at)) at = table(lines, at, root);
    else at = paragraph(lines, at, root);
  }
}

function code(lines, at, fence, root) {
  const kept = [];
  // A fence that is not closed yet runs to the end of what has come.
  for (at += 1; at < lines.length && !lines[at].trim().startsWith(fence); at += 1) kept.push(lines[at]);
  const pre = element("pre");
  pre.append(element("code", kept.join("\n")));
  pre.tabIndex = 0;
  root.append(pre);
  return at + 1;
}

function heading(lines, at, root) {
  const [, marks, text] = lines[at].match(/^(#{1,6})\s+(.*?)\s*#*$/);
  const node = element(`h${Math.min(6, marks.length + 2)}`);
  inline(text, node);
  root.append(node);
  return at + 1;
}

function quote(lines, at, root) {
  const inner = [];
  for (; at < lines.length && /^\s*>/.test(lines[at]); at += 1) inner.push(lines[at].replace(/^\s*>\s?/, ""));
  const node = element("blockquote");
  blocks(inner, node);
  root.append(node);
  return at;
}

function list(lines, at, root) {
  const [, indent, mark] = lines[at].match(BULLET);
  const node = element(/\d/.test(mark) ? "ol" : "ul");
  if (node.tagName === "OL") node.start = parseInt(mark, 10);
  while (at < lines.length) {
    const found = lines[at].match(BULLET);
    if (!found || found[1].length !== indent.length) break;
    const item = element("li");
    inline(found[3], item);
    node.append(item);
    const inner = [];
    for (at += 1; at < lines.length && isInside(lines[at], indent.length); at += 1) inner.push(lines[at].trimStart() === lines[at] ? lines[at] : lines[at].slice(indent.length + 2));
    blocks(inner, item);
  }
  root.append(node);
  return at;
}

function isInside(line, indent) {
  return line.trim() !== "" && line.length - line.trimStart().length > indent;
}

function isTable(lines, at) {
  return lines[at].includes("|") && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[at + 1] ?? "");
}

function table(lines, at, root) {
  const node = element("table");
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
  const row = (line, kind) => {
    const tr = element("tr");
    for (const cell of cells(line)) {
      const td = element(kind);
      inline(cell.trim(), td);
      tr.append(td);
    }
    node.append(tr);
  };
  row(lines[at], "th");
  for (at += 2; at < lines.length && lines[at].includes("|"); at += 1) row(lines[at], "td");
  root.append(node);
  return at;
}

function paragraph(lines, at, root) {
  const kept = [];
  while (at < lines.length && lines[at].trim() && !(kept.length && startsBlock(lines, at))) {
    kept.push(lines[at]);
    at += 1;
  }
  const node = element("p");
  inline(kept.join("\n"), node);
  root.append(node);
  return at;
}

function startsBlock(lines, at) {
  return /^\s*(```|~~~|>)|^#{1,6}\s/.test(lines[at]) || BULLET.test(lines[at]) || isTable(lines, at);
}

function inline(text, root) {
  for (;;) {
    const found = text.match(INLINE);
    if (!found) break;
    root.append(text.slice(0, found.index));
    const [all, , codeText, bold, italic, label, target, bare] = found;
    if (codeText !== undefined) root.append(element("code", codeText));
    else if (bold !== undefined) inline(bold, root.appendChild(element("strong")));
    else if (italic !== undefined) inline(italic, root.appendChild(element("em")));
    else root.append(link(bare ?? target, label ?? bare));
    text = text.slice(found.index + all.length);
  }
  root.append(text);
}

export function link(target, label) {
  // Any other scheme could run a script.
  if (!/^(https?:\/\/|mailto:)/i.test(target)) return document.createTextNode(label);
  const node = element("a", label);
  node.href = target;
  node.target = "_blank";
  node.rel = "noopener noreferrer";
  return node;
}

function element(name, text) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  return node;
}
