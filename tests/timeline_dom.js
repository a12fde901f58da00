// Runs the script of a page in node, among the few parts of a browser that it needs, and tells as JSON what it drew.
// node timeline_dom.js PAGE.html [ACTIONS as a JSON list of keys]
"use strict";
const fs = require("fs");
const vm = require("vm");

class Element {
  constructor(name) {
    this.name = name;
    this.children = [];
    this.attributes = {};
    this.handlers = {};
    this.style = {};
    this.clientWidth = 1000;
    this.innerHTML = "";
    this.textContent = "";
    this.namespaceURI = "svg";
    this.classList = { add() {}, remove() {} };
  }
  append(...more) { this.children.push(...more); }
  replaceChildren(...more) { this.children = more; }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener(name, handler) { this.handlers[name] = handler; }
  getBoundingClientRect() { return { left: 0, top: 0 }; }
  setPointerCapture() {}
  scrollIntoView() { this.isScrolledTo = true; }
  get lastElementChild() { return (this.last = this.last || new Element("g")); }
  createTHead() { return this.insertBody("thead"); }
  createTBody() { return this.insertBody("tbody"); }
  insertBody(name) {
    const made = new Element(name);
    this.children.push(made);
    return made;
  }
  insertRow() { return this.insertBody("tr"); }
  insertCell() { return this.insertBody("td"); }
  querySelector(wanted) { return (this[wanted] = this[wanted] || new Element(wanted)); }
}

const page = fs.readFileSync(process.argv[2], "utf8");
const actions = JSON.parse(process.argv[3] || "[]");
const data = /<script type="application\/json" id=data>(.*?)<\/script>/s.exec(page)[1];
const script = /<script>(.*?)<\/script>\s*<\/body>/s.exec(page)[1];
const runs = JSON.parse(data).map(() => Object.assign(new Element("details"), { open: true }));
const holder = Object.assign(new Element("script"), { textContent: data });
const document = {
  getElementById: (id) => (id === "data" ? holder : runs[Number(id.slice(1))]),
  querySelectorAll: (wanted) => (wanted === "details.run" ? runs : []),
  createElement: (name) => new Element(name),
  createElementNS: (_, name) => new Element(name),
  addEventListener() {},
};
const world = {
  document, performance, location: { hash: "" }, requestAnimationFrame: (draw) => draw(), addEventListener() {},
  setTimeout() {}, clearTimeout() {}, navigator: {}, console,
};
vm.runInNewContext(script, world);

const texts = (element) => element.children.length ? element.children.map(texts).flat() : [element.textContent];
const shots = runs.map((run) => {
  const [bar, frame, whole] = run[".chart"].children;
  const plot = frame.children[0];
  const drawn = [];
  const range = bar.children[bar.children.length - 1];
  const look = () => drawn.push({ range: range.textContent, svg: plot.children[0].innerHTML });
  look();
  for (const key of actions) {
    plot.handlers.keydown({ key, preventDefault() {} });
    look();
  }
  plot.handlers.pointermove({ clientX: 500, clientY: 50, pointerId: 1 });
  const tip = texts(frame.children[1]);
  const [, scroll] = run[".turns"].children; // below its heading
  const parts = scroll ? scroll.children[0].children : [];
  return { drawn, tip, table: parts.flatMap((part) => part.children.map(texts)), whole: whole.innerHTML };
});
console.log(JSON.stringify(shots));
