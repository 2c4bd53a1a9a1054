/* Joins the parts: filters, leaderboard, the chosen child, light and dark. */

(() => {
  const words = JSON.parse(document.getElementById("data").textContent);
  const searches = words.runs.map((packed) => new Search(packed, words));
  const form = document.getElementById("filters");
  const number = new Intl.NumberFormat("en-US");
  const score = (value) => Number.isNaN(value) ? "–" : value.toFixed(4);
  const dot = (search) => {
    const cell = document.createElement("span");
    const mark = document.createElement("span");
    mark.className = "dot";
    mark.style.background = searches[search].colour;
    cell.append(mark, searches[search].name);
    return cell;
  };
  const several = searches.length > 1;
  const reranked = searches.some((search) => search.rerank.some((value) => !Number.isNaN(value)));
  const columns = [
    ...(several ? [{ title: "search", width: [9, 2], className: "words", ascends: true,
      key: (search) => search, text: (search) => dot(search) }] : []),
    { title: "child", width: [4, 1], ascends: true, key: (search, child) => child, text: (search, child) => number.format(child) },
    { title: "reward", width: [5, 1], first: !reranked, breaksTies: true, key: (search, child) => searches[search].reward[child], text: (search, child) => score(searches[search].reward[child]) },
    { title: "re-ranked", width: [6, 1], first: reranked, key: (search, child) => searches[search].rerank[child], text: (search, child) => score(searches[search].rerank[child]) },
    { title: "parameters", width: [7, 1.2], ascends: true, key: (search, child) => searches[search].params[child], text: (search, child) => number.format(searches[search].params[child]) },
    { title: "multiply-adds", width: [8, 1.4], className: "wide", wide: true, ascends: true, key: (search, child) => searches[search].macs[child], text: (search, child) => number.format(searches[search].macs[child]) },
    { title: "batch", width: [4.5, 1], className: "wide", wide: true, ascends: true, key: (search, child) => searches[search].batch[child], text: (search, child) => number.format(searches[search].batch[child]) },
    { title: "status", width: [6, 1], className: "wide words", wide: true, ascends: true, key: (search, child) => searches[search].status[child], text: (search, child) => words.statuses[searches[search].status[child]] },
  ];
  const board = new Leaderboard(columns, showChild);

  function filter() {
    const wanted = new FormData(form);
    const mask = wanted.getAll("operation").reduce((bits, operation) => bits | (1 << Number(operation)), 0);
    const least = wanted.get("least") === "" ? -Infinity : Number(wanted.get("least"));
    const most = wanted.get("most") === "" ? Infinity : Number(wanted.get("most"));
    const only = wanted.get("run") ? Number(wanted.get("run")) : -1;
    const repeats = wanted.has("repeats");
    const reused = words.statuses.indexOf("reused");
    const rows = [];
    let all = 0;
    searches.forEach((search, index) => {
      all += search.children;
      if (only >= 0 && only !== index) return;
      for (let child = 0; child < search.children; child++) {
        if ((search.masks[child] & mask) === mask && search.params[child] >= least && search.params[child] <= most &&
            (repeats || search.status[child] !== reused)) rows.push([index, child]);
      }
    });
    document.getElementById("count").textContent = `${number.format(rows.length)} of ${number.format(all)} children`;
    board.grid.scrollTop = 0;
    board.setRows(rows);
  }

  function showChild(index, child) {
    const search = searches[index];
    const name = several ? `Child ${number.format(child)} of ${search.name}` : `Child ${number.format(child)}`;
    document.getElementById("child-title").textContent = name;
    const rerank = Number.isNaN(search.rerank[child]) ? "" : `, re-ranked ${score(search.rerank[child])}`;
    const reward = search.reward[child], accuracy = search.accuracy[child];
    const worth = reward === accuracy ? "" : `, accuracy ${score(accuracy)}`;
    document.getElementById("child-facts").textContent =
      `Reward ${score(reward)}${rerank}${worth}; ${number.format(search.params[child])} parameters, ` +
      `${number.format(search.macs[child])} multiply-adds; ${words.statuses[search.status[child]]} in batch ${search.batch[child]}.`;
    document.getElementById("cells").replaceChildren(...search.cells(child).map((cell) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = cell.kind === "normal" ? "Normal cell" : "Reduction cell (stride 2 on its inputs)";
      figure.tabIndex = 0; // A wide cell scrolls, also by keyboard.
      figure.setAttribute("aria-label", `${cell.kind} cell`);
      figure.append(caption, drawCell(cell, words));
      return figure;
    }));
    document.getElementById("one-line").value = search.oneLine(child);
    document.getElementById("json").value = search.json(child);
    ring(index, child);
  }

  async function copy(button) {
    const area = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(area.value);
    } catch {
      area.select(); // Where a page may not write to the clipboard, what to copy is marked.
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    document.getElementById("theme").textContent = theme === "dark" ? "Light" : "Dark";
    colourPlots();
  }

  /* What the plots hold that has a tag; the first tag of what belongs to a search is its number. */
  function* tagged(plots, tag) {
    for (const model of plots._all_models.values()) if (["GlyphRenderer", "Span"].includes(model.type) && model.tags.includes(tag)) yield model;
  }

  /* Puts a ring around the chosen child; a little later, so that walking through the rows waits for no plot. */
  let ringing;
  function ring(index, child) {
    clearTimeout(ringing);
    ringing = setTimeout(() => {
      for (const plots of Bokeh.documents) {
        for (const mark of tagged(plots, "chosen")) {
          for (const { tags, data_source } of tagged(plots, "children")) {
            const { x, y } = data_source.data;
            if (tags[0] === index) mark.data_source.data = { x: [x[child]], y: [y[child]] };
          }
        }
      }
    }, 150);
  }

  function hide(button) {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    for (const plots of Bokeh.documents) for (const model of tagged(plots, Number(button.dataset.run))) model.visible = shown;
  }

  function showHalos(shown) {
    const hidden = (search) => document.querySelector(`.toggle[data-run="${search}"][aria-pressed="false"]`) !== null;
    for (const plots of Bokeh.documents) {
      for (const model of tagged(plots, "halo")) model.visible = shown && !hidden(model.tags[0]);
    }
  }

  /* Bokeh draws on canvases, which know nothing of style sheets. */
  function colourPlots() {
    const style = getComputedStyle(document.documentElement);
    const [ink, rule, grid, ground] = ["--ink", "--rule", "--grid", "--ground"].map((name) => style.getPropertyValue(name).trim());
    for (const plots of Bokeh.documents) {
      for (const model of plots._all_models.values()) {
        if (model.type.endsWith("Axis")) {
          model.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: rule,
            major_tick_line_color: rule });
        } else if (model.type === "Grid") model.setv({ grid_line_color: grid });
        else if (model.type === "Figure" || model.type === "Plot") model.setv({ outline_line_color: rule });
      }
      for (const { glyph } of tagged(plots, "halo")) glyph.line_color = { value: ground };
      for (const { glyph } of tagged(plots, "chosen")) glyph.line_color = { value: ink };
    }
  }

  window.nasnetReport = {
    /* Called by the plots when a point is clicked. */
    select(search, child) {
      if (!board.chooseChild(search, child)) {
        board.chooseNone(); // The filters leave it out.
        showChild(search, child);
      }
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      document.getElementById("child").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "nearest" });
    },
  };

  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter)); // After the fields are empty.
  form.addEventListener("submit", (event) => event.preventDefault());
  document.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", () => copy(button)));
  document.querySelectorAll(".toggle").forEach((button) => button.addEventListener("click", () => hide(button)));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  // Paper is white, and narrower than the canvases, which do not follow before it is printed: it gets copies.
  let before, views = [];
  addEventListener("beforeprint", () => {
    before = document.documentElement.dataset.theme;
    setTheme("light");
    showHalos(false); // They take their colour too late.
    for (const view of views) {
      const { canvas } = view.export("png");
      canvas.className = "paper";
      view.el.parentNode.after(canvas);
    }
  });
  addEventListener("afterprint", () => {
    document.querySelectorAll(".paper").forEach((canvas) => canvas.remove());
    showHalos(true);
    setTheme(before);
  });
  filter();
  const topScore = ({ rerank, reward, best }) => Number.isNaN(rerank[best]) ? reward[best] : rerank[best];
  const best = searches.reduce((found, search, index) => topScore(search) > topScore(searches[found]) ? index : found, 0);
  board.chooseChild(best, searches[best].best);
  setTheme(dark.matches ? "dark" : "light");
  const plots = Object.values(JSON.parse(document.getElementById("plots").textContent));
  Promise.all(plots.map((plot) => Bokeh.embed.embed_item(plot))).then((managers) => {
    views = managers.flatMap((manager) => [...manager.roots].filter((view) => view.model.type === "Figure"));
    colourPlots();
    document.documentElement.dataset.ready = "yes";
  });
})();
