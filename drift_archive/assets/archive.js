// The list of conversations: loads its parts from the newest to the oldest, filters and searches.
"use strict";

const archive = (() => {
  const PAGE_SIZE = 100;
  const MAX_CACHED_INDEXES = 24;
  const FIELDS = ["query", "status", "inbox", "agent", "tag", "from", "to"];
  const lists = new Map();
  const indexes = new Map();
  const elements = {};
  let summary;
  let current = 0;

  // Words as in drift_archive/text.py.
  const normalize = (word) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const options = {
    fields: ["text", "people"],
    processTerm: normalize,
    searchOptions: { combineWith: "AND", prefix: true, processTerm: normalize },
  };

  const loading = new Map();

  // Pages that are opened as files cannot fetch others: the parts are scripts that call addList.
  function load(source) {
    if (!loading.has(source)) {
      loading.set(source, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => { script.remove(); loading.delete(source); resolve(); };
        script.onerror = () => { loading.delete(source); reject(new Error(source)); };
        document.head.append(script);
      }));
    }
    return loading.get(source);
  }

  async function list(shard) {
    if (!lists.has(shard)) await load(`list/${shard}.js`);
    return lists.get(shard);
  }

  async function searchIndex(shard) {
    if (!indexes.has(shard)) await load(`search/${shard}.js`);
    const index = indexes.get(shard);
    indexes.delete(shard);
    indexes.set(shard, index);
    if (indexes.size > MAX_CACHED_INDEXES) indexes.delete(indexes.keys().next().value);
    return index;
  }

  const filters = () => Object.fromEntries(FIELDS.map((name) => [name, elements[name].value]));

  function accepts(row, wanted) {
    const day = row.at.slice(0, 10);
    return (!wanted.status || row.status === wanted.status)
      && (!wanted.inbox || row.inbox === wanted.inbox)
      && (!wanted.agent || row.agents.includes(wanted.agent))
      && (!wanted.tag || row.tags.includes(wanted.tag))
      && (!wanted.from || day >= wanted.from)
      && (!wanted.to || day <= wanted.to);
  }

  function mayContain(shard, wanted) {
    const length = shard.length;
    return shard === "undated"
      || ((!wanted.from || shard >= wanted.from.slice(0, length))
        && (!wanted.to || shard <= wanted.to.slice(0, length)));
  }

  async function matches(shard, wanted) {
    const rows = await list(shard);
    if (!wanted.query.trim()) return rows.filter((row) => accepts(row, wanted));
    const index = await searchIndex(shard);
    const places = index.search(wanted.query).map((result) => result.id).sort((a, b) => a - b);
    return places.map((place) => rows[place]).filter((row) => accepts(row, wanted));
  }

  function add(parent, tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function address(id) {
    return `conversations/${id.slice(-3).padStart(3, "0")}/${id}.html`;
  }

  function show(row) {
    const item = document.createElement("li");
    const head = add(item, "div", "head");
    const link = add(head, "a", "");
    add(link, "bdi", "", row.contact || `Conversation ${row.id}`);
    link.href = address(row.id);
    if (row.email && row.email !== row.contact) add(head, "bdi", "muted", row.email);
    if (row.status) {
      const known = ["open", "closed", "pending"].includes(row.status) ? row.status : "other";
      add(head, "span", `status ${known}`, row.status);
    }
    for (const tag of row.tags) add(add(head, "span", "tag"), "bdi", "", tag);
    const files = row.files ? `, ${row.files} attached` : "";
    add(head, "span", "at", `${row.messages} messages${files} · ${row.at}`);
    const text = add(item, "div", "text", row.text);
    text.dir = "auto";
    elements.results.append(item);
  }

  // Looks through the parts in order. A newer search ends an older one.
  async function search() {
    const run = ++current;
    const wanted = filters();
    remember(wanted);
    const shards = summary.shards.filter((each) => mayContain(each.shard, wanted));
    const isFiltered = FIELDS.some((name) => wanted[name].trim());
    const total = summary.shards.reduce((sum, each) => sum + each.conversations, 0);
    const waiting = [];
    let found = 0;
    let shown = 0;
    elements.results.replaceChildren();

    function showMore(limit) {
      while (shown < limit && waiting.length) { show(waiting.shift()); shown += 1; }
      elements.more.hidden = waiting.length === 0 && !elements.more.unread;
    }
    function report(progress) {
      const of = isFiltered ? ` of ${total.toLocaleString("en")}` : "";
      const count = isFiltered ? found : total;
      elements.found.textContent = `${count.toLocaleString("en")}${of} conversations${progress}`;
    }

    let wantedRows = PAGE_SIZE;
    let wake = () => {};
    elements.more.unread = false;
    elements.more.onclick = () => { wantedRows = shown + PAGE_SIZE; showMore(wantedRows); wake(); };
    for (const [number, { shard }] of shards.entries()) {
      // Without a filter the total is known, so the rest is read when it is asked for.
      while (!isFiltered && shown >= wantedRows) {
        elements.more.unread = true;
        elements.more.hidden = false;
        report("");
        await new Promise((resolve) => { wake = resolve; });
        if (run !== current) return;
      }
      elements.more.unread = false;
      let rows;
      try {
        rows = await matches(shard, wanted);
      } catch (error) {
        elements.found.textContent = `A file of the archive is missing: ${error.message}`;
        return;
      }
      if (run !== current) return;
      found += rows.length;
      waiting.push(...rows);
      showMore(wantedRows);
      report(number + 1 < shards.length ? `, looking further back than ${shard} …` : "");
    }
    showMore(wantedRows);
    report("");
  }

  function remember(wanted) {
    const set = Object.entries(wanted).filter(([, value]) => value);
    const hash = new URLSearchParams(set).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname);
  }

  function fill(name, rows, label) {
    for (const row of rows) {
      const option = add(elements[name], "option", "", `${label(row)} (${row.conversations.toLocaleString("en")})`);
      option.value = row.id ?? row.name;
    }
  }

  function start() {
    for (const name of [...FIELDS, "filters", "found", "results", "more"]) {
      elements[name] = document.getElementById(name);
    }
    fill("status", summary.statuses, (row) => row.name);
    fill("inbox", summary.inboxes, (row) => row.name);
    fill("agent", summary.agents, (row) => row.name);
    fill("tag", summary.tags, (row) => row.name);
    const remembered = new URLSearchParams(location.hash.slice(1));
    for (const name of FIELDS) elements[name].value = remembered.get(name) ?? "";
    let delay;
    elements.filters.addEventListener("submit", (event) => event.preventDefault());
    elements.filters.addEventListener("input", () => {
      clearTimeout(delay);
      delay = setTimeout(search, 150);
    });
    elements.filters.addEventListener("reset", () => setTimeout(search));
    search();
  }

  return {
    addList(shard, rows) { lists.set(shard, rows); },
    addSearch(shard, index) { indexes.set(shard, MiniSearch.loadJS(index, options)); },
    setSummary(value) { summary = value; start(); },
  };
})();
