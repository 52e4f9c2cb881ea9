"use strict";
// Views, lists and problems of the page. Everything that comes from a run is set as text, never as markup.
(() => {
  const BATCH = 200; // rows that are added to a list at a time
  const SHOWN_CHARACTERS = 20000; // of a text, before "show all"
  const SHOWN_LINE = 2000; // characters of a line of a diff
  const SHOWN_LINES = 2000; // of a diff
  const DIFF_CELLS = 4e6; // beyond, a diff is everything removed, everything added

  const bundle = document.body.dataset.bundle;
  const $ = (id) => document.getElementById(id);

  /** An element with properties, and children as nodes or text; null children are left out. */
  function el(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return element;
  }

  // ---- data: scripts that call rewardranker(name, value), for a page on disk may not fetch ----

  const files = new Map();

  function load(name) {
    if (!files.has(name)) {
      const file = {};
      file.promise = new Promise((resolve, reject) => Object.assign(file, { resolve, reject }));
      files.set(name, file);
      const script = el("script", { src: `${bundle}/${name}.js` });
      script.onload = () => script.remove();
      script.onerror = () => {
        script.remove();
        files.delete(name);
        file.reject(new Error(`${bundle}/${name}.js, which belongs to this page, cannot be loaded`));
      };
      document.head.append(script);
    }
    return files.get(name).promise;
  }

  window.rewardranker = (name, value) => files.get(name).resolve(value);

  // ---- the address: #view, #problem/NUMBER, each with ?policy=..&filter=..&sort=..&q=.. ----

  const state = { view: "", number: 0, policy: -1, filter: "all", sort: "run", q: "", a: -1, b: -1, flips: "both" };

  function address(view, number) {
    const query = new URLSearchParams();
    const keys = view === "compare" ? ["a", "b", "flips"] : ["policy", "filter", "sort", "q"];
    for (const key of keys) query.set(key, state[key]);
    return `#${view}${number === undefined ? "" : `/${number}`}?${query}`;
  }

  function readAddress() {
    const [path, query] = location.hash.slice(1).split("?");
    const [view, number] = path.split("/");
    for (const [key, value] of new URLSearchParams(query)) {
      if (["policy", "a", "b"].includes(key)) state[key] = Math.max(Math.trunc(Number(value)) || 0, -1);
      else if (["filter", "sort", "q", "flips"].includes(key)) state[key] = value;
    }
    state.view = $(view)?.classList.contains("view") ? view : "summary";
    state.number = Number(number) || 0;
  }

  async function route() {
    readAddress();
    for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== state.view;
    const current = state.view === "problem" ? "problems" : state.view;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.hash === `#${current}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const alert of document.querySelectorAll("[role=alert]")) alert.remove();
    const draw = bundle && { problems: showProblems, problem: showProblem, compare: showComparison }[state.view];
    const address = location.hash;
    try {
      if (draw) await draw(() => address === location.hash); // false once the reader has gone elsewhere
      document.body.dataset.drawn = address; // tests wait for it
    } catch (error) {
      $(state.view).append(el("p", { className: "missing", role: "alert" }, String(error.message)));
      throw error;
    }
  }

  // ---- view 1: problems ----

  /** Each tells whether problem i is shown; p is the chosen policy's columns. */
  const FILTERS = {
    all: ["all problems", () => true],
    "wrong-solvable": ["ranker wrong but solvable", (p, i) => !p.picked[i] && p.passed[i] > 0],
    differ: ["models differ", (p, i, index) => new Set(verdicts(index, i)).size > 1],
    gain: ["ranker right, log-probability wrong", (p, i) => p.picked[i] && p.likeliest[i] === 0],
    loss: ["log-probability right, ranker wrong", (p, i) => p.likeliest[i] && !p.picked[i]],
    newer: ["newest ranker right, ranker 1 wrong", (p, i) => p.picked[i] && p.first[i] === 0],
    none: ["no candidate passes", (p, i) => p.passed[i] === 0],
    right: ["the pick is right", (p, i) => p.picked[i]],
  };
  /** Filters that need what not every run knows, and the column that has it. */
  const NEEDS = { gain: "likeliest", loss: "likeliest", newer: "first" };
  const rate = (p, i) => p.passed[i] / p.n[i];
  const SORTS = {
    run: ["order of the run", () => 0],
    hard: ["fewest candidates pass first", (p, i, j) => rate(p, i) - rate(p, j)],
    easy: ["most candidates pass first", (p, i, j) => rate(p, j) - rate(p, i)],
    id: ["name", (p, i, j, index) => (index.id[i] < index.id[j] ? -1 : index.id[i] > index.id[j] ? 1 : 0)],
  };

  /** Whether each policy's pick passes, of those that have tried problem i. */
  function verdicts(index, i) {
    return index.policies.map((p) => p.picked[i]).filter((v) => v !== null);
  }

  async function found() {
    const index = await load("index");
    if (!index.policies[state.policy]) state.policy = index.policy;
    const policy = index.policies[state.policy];
    const [, fits] = FILTERS[state.filter] ?? FILTERS.all;
    const [, order] = SORTS[state.sort] ?? SORTS.run;
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const prompts = words.length ? await load("prompts") : [];
    const text = (i) => `${index.id[i]} ${prompts[i]}`.toLowerCase();
    const numbers = [...index.id.keys()].filter(
      (i) => policy.n[i] !== null && fits(policy, i, index) && (!words.length || has(text(i), words)),
    );
    return { index, policy, numbers: numbers.sort((i, j) => order(policy, i, j, index) || i - j) };
  }

  const has = (text, words) => words.every((word) => text.includes(word));

  function mark(passes, words) {
    if (passes === null) return el("span", { className: "none" }, "–");
    const className = passes ? "good" : "bad";
    return el("span", { className, title: words ?? "" }, passes ? "✓" : "✗");
  }

  function problemLink(index, number) {
    return el(
      "a",
      { href: address("problem", number), className: "problem-link" },
      el("code", {}, index.id[number]),
      el("span", { className: "quiet" }, ` ${index.title[number]}`),
    );
  }

  let listed = { numbers: [], shown: 0 };

  async function showProblems(current) {
    const now = await found();
    if (!current()) return;
    const { index, policy, numbers } = now;
    fillControls(index);
    $("count").textContent =
      `${numbers.length.toLocaleString("en")} of ${index.id.length.toLocaleString("en")} problems`;
    $("pick-column").textContent = `best of n, ${policy.by}`;
    listed = { ...now, shown: 0 };
    $("problem-rows").replaceChildren();
    moreRows();
  }

  function fillControls(index) {
    const options = (entries) => entries.map(([value, text]) => el("option", { value }, text));
    if (!$("filter").length) {
      const known = (column) => !column || index.policies.some((p) => p[column].some((x) => x !== null));
      const filters = Object.entries(FILTERS).filter(([key]) => known(NEEDS[key]));
      $("filter").append(...options(filters.map(([key, [text]]) => [key, text])));
      $("sort").append(...options(Object.entries(SORTS).map(([key, [text]]) => [key, text])));
      $("policy").append(...options(index.policies.map((p, i) => [i, p.name])));
    }
    for (const key of ["filter", "sort", "policy"]) $(key).value = state[key];
    if (document.activeElement !== $("q")) $("q").value = state.q;
  }

  function moreRows() {
    const { index, policy, numbers, shown } = listed;
    const rows = numbers.slice(shown, shown + BATCH).map((i) =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, problemLink(index, i)),
        el("td", {}, mark(policy.greedy[i], "greedy answer")),
        el("td", {}, mark(policy.picked[i], "the ranker's pick")),
        el("td", {}, mark(policy.passed[i] > 0 ? 1 : 0, "any candidate")),
        el("td", {}, `${policy.passed[i]}/${policy.n[i]}`),
      ),
    );
    $("problem-rows").append(...rows);
    listed.shown = shown + rows.length;
    $("more").hidden = listed.shown >= numbers.length;
  }

  // ---- view 2: one problem ----

  async function showProblem(current) {
    const { index, policy, numbers } = await found();
    const number = Math.min(state.number, index.id.length - 1);
    const chunk = await load(`chunk-${index.chunk[number]}`);
    if (!current()) return;
    const problem = chunk.find((p) => p.problem === number);
    const place = numbers.indexOf(number);
    const attempts = problem.policies[state.policy];
    const choose = el(
      "select",
      { ariaLabel: "policy", onchange: (e) => go({ policy: Number(e.target.value) }) },
      index.policies.map((p, i) => el("option", { value: i, selected: i === state.policy }, p.name)),
    );
    const step = (by, text) =>
      numbers[place + by] === undefined || place < 0
        ? el("span", { className: "none" }, text)
        : el("a", { href: address("problem", numbers[place + by]) }, text);
    $("problem").replaceChildren(
      el("p", { className: "bar" }, el("a", { href: address("problems") }, "← problems"), step(-1, "previous"),
        step(1, "next"), place < 0 ? null : el("span", { className: "quiet" }, `${place + 1} of ${numbers.length}`)),
      el("h2", {}, el("code", {}, index.id[number]), el("span", { className: "quiet" }, ` ${index.language[number]}`)),
      code(problem.prompt, "wrapped"),
      el("p", { className: "bar" }, "Samples of ", choose),
      ...(attempts ? programsOf(attempts, policy) : [el("p", { className: "missing" }, "It has not tried this problem.")]),
      folded(problem.tests ? "Tests" : "No tests: verdicts are the labels of the file", problem.tests),
      ...(problem.reference === null ? [] : [folded("Reference", problem.reference)]),
    );
    window.scrollTo(0, 0);
  }

  function programsOf({ programs, greedy }, policy) {
    const [top] = programs;
    const passing = programs.find((p) => p.verdict === "passed");
    const n = programs.reduce((sum, p) => sum + p.count, 0);
    const right = programs.reduce((sum, p) => sum + (p.verdict === "passed" ? p.count : 0), 0);
    const parts = [
      el("p", { className: "quiet" }, `${right} of ${n} candidates pass; ${programs.length} different ${programs.length === 1 ? "program" : "programs"}, by ${policy.by}, ` +
        `best first.${policy.by.startsWith("ranker") ? " Scores compare within a problem only." : ""}`),
    ];
    if (passing && passing !== top) {
      parts.push(
        el("h3", {}, "From the pick (−) to the best-scored program that passes (+)"),
        diffOf(top.text, passing.text),
      );
    }
    parts.push(el("h3", {}, "Candidates"), ...programs.map((p, i) => program(p, `${i + 1}.${i ? "" : " the pick:"}`)));
    if (greedy) parts.push(el("h3", {}, "Greedy answer"), program(greedy, ""));
    return parts;
  }

  function program(p, place) {
    const number = (x) => x.toFixed(2).replace("-", "−");
    const facts = [
      p.count > 1 ? `${p.count} times` : null,
      p.score === null || p.score === undefined ? null : `score ${number(p.score)}`,
      p.probability === null || p.probability === undefined ? null : `probability ${number(p.probability)}`,
      p.first === null || p.first === undefined ? null : `ranker 1: ${number(p.first)}`,
      p.logprob === null ? null : `log-prob ${number(p.logprob)} a token`,
      p.tokens === null ? null : `${p.tokens} tokens`,
    ].filter(Boolean);
    const verdict = el("strong", { className: p.verdict === "passed" ? "good" : "bad" }, p.verdict.replaceAll("_", " "));
    return el(
      "article",
      { className: `program ${p.verdict === "passed" ? "passed" : ""}`, tabIndex: -1 },
      el("p", {}, place ? `${place} ` : null, verdict, p.reason ? ` ${clipped(p.reason)}` : null,
        facts.length ? el("span", { className: "quiet" }, ` · ${facts.join(" · ")}`) : null),
      p.failing ? el("p", { className: "failing" }, "Failing test: ", el("code", {}, clipped(p.failing))) : null,
      code(p.text),
      p.stderr ? folded("stderr", p.stderr) : null,
    );
  }

  const clipped = (text) =>
    text.length <= SHOWN_LINE
      ? text
      : `${text.slice(0, SHOWN_LINE)} … and ${(text.length - SHOWN_LINE).toLocaleString("en")} more characters`;

  /** A text as it is; of a very long one the beginning, and a button for the rest. */
  function code(text, className = "") {
    const pre = el("pre", { tabIndex: 0, className }, text.slice(0, SHOWN_CHARACTERS));
    if (text.length <= SHOWN_CHARACTERS) return pre;
    const words = `Show all ${text.length.toLocaleString("en")} characters`;
    const button = el("button", { type: "button", className: "all" }, words);
    button.onclick = () => {
      pre.textContent = text;
      button.remove();
    };
    return el("div", {}, pre, button);
  }

  function folded(title, text) {
    const details = el("details", {}, el("summary", {}, title));
    details.addEventListener("toggle", () => details.append(code(text)), { once: true });
    return details;
  }

  function diffOf(before, after) {
    const lines = diff(before.replace(/\n+$/, "").split("\n"), after.replace(/\n+$/, "").split("\n"));
    const shown = lines.slice(0, SHOWN_LINES).map(([sign, line]) =>
      el("span", { className: { "+": "add", "-": "del" }[sign] ?? "" }, `${sign} ${clipped(line)}`),
    );
    if (lines.length > SHOWN_LINES) shown.push(el("span", {}, `… and ${lines.length - SHOWN_LINES} more lines`));
    return el("pre", { className: "diff", tabIndex: 0 }, shown);
  }

  /** [sign, line] of a longest common subsequence of lines. */
  function diff(a, b) {
    let start = 0;
    while (start < a.length && start < b.length && a[start] === b[start]) start++;
    let end = 0;
    while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
    const same = (lines) => lines.map((line) => [" ", line]);
    const x = a.slice(start, a.length - end);
    const y = b.slice(start, b.length - end);
    const middle = x.length * y.length > DIFF_CELLS
      ? [...x.map((line) => ["-", line]), ...y.map((line) => ["+", line])]
      : longestCommon(x, y);
    return [...same(a.slice(0, start)), ...middle, ...same(a.slice(a.length - end))];
  }

  function longestCommon(x, y) {
    const width = y.length + 1;
    const length = new Uint32Array((x.length + 1) * width); // of x from i on and y from j on, at [i * width + j]
    for (let i = x.length - 1; i >= 0; i--) {
      for (let j = y.length - 1; j >= 0; j--) {
        length[i * width + j] = x[i] === y[j]
          ? length[(i + 1) * width + j + 1] + 1
          : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
      }
    }
    const lines = [];
    let i = 0;
    let j = 0;
    while (i < x.length || j < y.length) {
      if (i < x.length && j < y.length && x[i] === y[j]) {
        lines.push([" ", x[i++]]);
        j++;
      } else if (j >= y.length || (i < x.length && length[(i + 1) * width + j] >= length[i * width + j + 1])) {
        lines.push(["-", x[i++]]);
      } else {
        lines.push(["+", y[j++]]);
      }
    }
    return lines;
  }

  // ---- view 6: two runs ----

  let flipped = { rows: [], shown: 0 };

  async function showComparison(current) {
    if (!$("system-a")) return; // one run
    const [index, both] = await Promise.all([load("index"), load("compare")]);
    if (!current()) return;
    for (const [place, side] of ["a", "b"].entries()) {
      const select = $(`system-${side}`);
      if (!select.length) select.append(...both[side].map((s, i) => el("option", { value: i }, s.name)));
      select.value = both[side][state[side]] ? state[side] : both.start[place];
    }
    const [a, b] = [both.a[$("system-a").value], both.b[$("system-b").value]];
    const [difference, low, high, onlyA, onlyB, p] = both.pairs[$("system-a").value][$("system-b").value];
    const points = (x) => (Math.abs(x) < 0.05 ? "0.0" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(1)}`);
    $("difference").textContent =
      `A − B: ${points(difference)} points (95 % interval ${points(low)} to ${points(high)}); ` +
      `only A solves ${onlyA.toLocaleString("en")} problems, only B ${onlyB.toLocaleString("en")}; ` +
      `McNemar p = ${Number(p.toPrecision(2))}.`;
    $("flips").value = state.flips;
    const flip = (r) => (r.a > 0.5) - (r.b > 0.5);
    const shown = { better: (r) => flip(r) > 0, worse: (r) => flip(r) < 0, any: (r) => r.a !== r.b }[state.flips] ?? flip;
    const rows = both.problems
      .map((number, i) => ({ number, a: a.values[i], b: b.values[i] }))
      .filter(shown)
      .sort((x, y) => Math.abs(y.a - y.b) - Math.abs(x.a - x.b) || x.number - y.number);
    flipped = { index, rows, shown: 0 };
    $("flip-rows").replaceChildren();
    moreFlips();
  }

  function moreFlips() {
    const { index, rows, shown } = flipped;
    const percent = (x, y) => el("td", { className: x > y ? "good" : "bad" }, `${Math.round(100 * x)}`);
    const next = rows.slice(shown, shown + BATCH);
    $("flip-rows").append(
      ...next.map((r) =>
        el("tr", {}, el("th", { scope: "row" }, problemLink(index, r.number)), percent(r.a, r.b), percent(r.b, r.a)),
      ),
    );
    flipped.shown = shown + next.length;
    $("more-flips").hidden = flipped.shown >= rows.length;
  }

  // ---- controls and keys ----

  /** Change part of the state, and the address with it. */
  function go(change) {
    Object.assign(state, change);
    location.replace(address(state.view, state.view === "problem" ? state.number : undefined));
  }

  const views = [...document.querySelectorAll("nav a")].map((link) => link.hash);

  function move(selector, by) {
    const all = [...document.querySelectorAll(selector)];
    const at = all.findIndex((e) => e.contains(document.activeElement));
    const next = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
    if (state.view === "problems" && at >= all.length - 2 && !$("more").hidden) moreRows();
  }

  async function turn(by) {
    const { numbers } = await found();
    const next = numbers[numbers.indexOf(state.number) + by];
    if (next !== undefined) location.hash = address("problem", next);
  }

  const KEYS = {
    j: (view) => move(view === "problem" ? "#problem .program" : `#${view} .problem-link`, 1),
    k: (view) => move(view === "problem" ? "#problem .program" : `#${view} .problem-link`, -1),
    n: (view) => view === "problem" && turn(1),
    p: (view) => view === "problem" && turn(-1),
    u: (view) => view === "problem" && (location.hash = address("problems")),
    "/": () => {
      if (state.view !== "problems") location.hash = address("problems");
      $("problems").hidden = false;
      $("q").focus();
    },
    "?": () => ($("keys").open ? $("keys").close() : $("keys").showModal()),
  };
  const ARROWS = {
    problems: { ArrowDown: "j", ArrowUp: "k" },
    problem: { ArrowRight: "n", ArrowLeft: "p", Escape: "u" },
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const scrolls = event.key.startsWith("Arrow") && event.target.matches("pre");
    const key = (!scrolls && ARROWS[state.view]?.[event.key]) || event.key;
    if (Number(key) >= 1 && Number(key) <= views.length) location.hash = views[Number(key) - 1];
    else if (Object.hasOwn(KEYS, key)) KEYS[key](state.view);
    else return;
    event.preventDefault();
  });

  for (const key of ["filter", "sort", "policy"]) {
    $(key)?.addEventListener("change", (e) => go({ [key]: key === "policy" ? Number(e.target.value) : e.target.value }));
  }
  for (const [id, key] of [["system-a", "a"], ["system-b", "b"], ["flips", "flips"]]) {
    $(id)?.addEventListener("change", (e) => go({ [key]: key === "flips" ? e.target.value : Number(e.target.value) }));
  }
  $("q")?.addEventListener("input", (e) => go({ q: e.target.value }));
  $("more")?.addEventListener("click", moreRows);
  $("more-flips")?.addEventListener("click", moreFlips);
  if ($("more")) new IntersectionObserver((seen) => seen[0].isIntersecting && moreRows()).observe($("more"));
  $("help").addEventListener("click", () => $("keys").showModal());
  window.addEventListener("hashchange", route);
  document.body.classList.add("scripted");
  route();
})();
