/* The leaderboard: a grid that makes only the rows which are in sight, so that it may be long. */

const ROW_HEIGHT = 32;
const EXTRA_ROWS = 6; // Made above and below what is in sight.

class Leaderboard {
  constructor(columns, onSelect) {
    this.columns = columns;
    this.onSelect = onSelect;
    this.rows = []; // Of [search, child], filtered and sorted.
    this.chosen = -1;
    this.sorted = { column: columns.find((column) => column.first), descending: true };
    this.grid = document.getElementById("grid");
    this.body = document.getElementById("grid-body");
    const narrow = matchMedia("(max-width: 40rem)");
    narrow.addEventListener("change", () => this.setWidths(narrow.matches));
    this.setWidths(narrow.matches);
    this.makeHead();
    this.grid.setAttribute("aria-colcount", columns.length);
    this.grid.addEventListener("scroll", () => this.show());
    this.grid.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[role=row]");
      if (row) this.choose(Number(row.dataset.index));
    });
    new ResizeObserver(() => this.show()).observe(this.grid);
  }

  /* A column has a least width in rem and a share of what is left; narrow pages leave some out. */
  setWidths(narrow) {
    const widths = this.columns.filter((column) => !(narrow && column.wide)).map((column) => column.width);
    const least = widths.reduce((sum, [rem]) => sum + rem, 0);
    this.grid.style.setProperty("--columns", widths.map(([rem, share]) => `minmax(${rem}rem, ${share}fr)`).join(" "));
    this.grid.style.setProperty("--least", `${least}rem`);
  }

  makeHead() {
    const head = document.getElementById("grid-head");
    this.heads = this.columns.map((column) => {
      const cell = document.createElement("div");
      cell.setAttribute("role", "columnheader");
      cell.className = column.className ?? "";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.title;
      button.addEventListener("click", () => this.sortBy(column));
      cell.append(button);
      head.append(cell);
      return cell;
    });
  }

  sortBy(column) {
    const again = this.sorted.column === column;
    this.sorted = { column, descending: again ? !this.sorted.descending : !column.ascends };
    this.setRows(this.rows);
  }

  /* Shows these rows in the present order; the chosen child stays chosen if it is among them. */
  setRows(rows) {
    const kept = this.rows[this.chosen];
    const { column, descending } = this.sorted;
    const keyed = rows.map((row) => [column.key(...row), row]);
    const sign = descending ? -1 : 1;
    // Children that are equal in this column, or have nothing in it, come by their rewards.
    const reward = this.columns.find((each) => each.breaksTies).key;
    keyed.sort(([one, [oneSearch, oneChild]], [other, [otherSearch, otherChild]]) => {
      // What has no value comes last either way.
      const missing = Number.isNaN(one) - Number.isNaN(other);
      if (missing) return missing;
      return sign * (one > other) - sign * (one < other) ||
        reward(otherSearch, otherChild) - reward(oneSearch, oneChild) || oneSearch - otherSearch || oneChild - otherChild;
    });
    this.rows = keyed.map(([, row]) => row);
    this.chosen = kept ? this.rows.findIndex(([search, child]) => search === kept[0] && child === kept[1]) : -1;
    this.columns.forEach((each, index) => {
      const order = descending ? "descending" : "ascending";
      this.heads[index].setAttribute("aria-sort", each === column ? order : "none");
    });
    this.grid.setAttribute("aria-rowcount", this.rows.length + 1);
    this.body.style.height = `${this.rows.length * ROW_HEIGHT}px`;
    this.show();
  }

  show() {
    const first = Math.max(Math.floor(this.grid.scrollTop / ROW_HEIGHT) - EXTRA_ROWS, 0);
    const count = Math.ceil(this.grid.clientHeight / ROW_HEIGHT) + 2 * EXTRA_ROWS;
    const rows = this.rows.slice(first, first + count).map((row, offset) => this.makeRow(first + offset, row));
    this.body.replaceChildren(...rows);
    const active = this.chosen >= first && this.chosen < first + count;
    if (active) this.grid.setAttribute("aria-activedescendant", `row-${this.chosen}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  makeRow(index, [search, child]) {
    const row = document.createElement("div");
    row.setAttribute("role", "row");
    row.id = `row-${index}`;
    row.dataset.index = index;
    row.setAttribute("aria-rowindex", index + 2);
    row.setAttribute("aria-selected", index === this.chosen);
    row.style.top = `${index * ROW_HEIGHT}px`;
    for (const column of this.columns) {
      const cell = document.createElement("div");
      cell.setAttribute("role", "gridcell");
      cell.className = column.className ?? "";
      cell.append(column.text(search, child, index));
      row.append(cell);
    }
    return row;
  }

  choose(index) {
    if (!this.rows.length) return;
    this.chosen = Math.min(Math.max(index, 0), this.rows.length - 1);
    const top = this.chosen * ROW_HEIGHT;
    const room = this.grid.clientHeight - document.querySelector(".grid-head").offsetHeight;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    if (top + ROW_HEIGHT > this.grid.scrollTop + room) this.grid.scrollTop = top + ROW_HEIGHT - room;
    this.show();
    this.onSelect(...this.rows[this.chosen]);
  }

  /* Chooses a child if it is among the rows; says whether it is. */
  chooseChild(search, child) {
    const index = this.rows.findIndex((row) => row[0] === search && row[1] === child);
    if (index < 0) return false;
    this.choose(index);
    return true;
  }

  chooseNone() {
    this.chosen = -1;
    this.show();
  }

  onKey(event) {
    if (event.target !== this.grid) return; // The headings are buttons.
    const page = Math.max(Math.floor(this.grid.clientHeight / ROW_HEIGHT) - 2, 1);
    const to = {
      ArrowDown: this.chosen + 1, ArrowUp: this.chosen - 1, PageDown: this.chosen + page,
      PageUp: this.chosen - page, Home: 0, End: this.rows.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(to);
  }
}
