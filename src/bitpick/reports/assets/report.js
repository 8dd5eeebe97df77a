/* Draws the charts of report.html, and makes its table one that can be sorted and filtered. Everything that it shows is
   on the page without it too. Names are data: they reach the page as text only. */
"use strict";
(() => {
  const accent = "var(--accent)", muted = "var(--muted)", warn = "var(--warn)", ink = "currentColor";
  const WIDE = 720; // from here on names stand beside what they name, below it above
  const clip = (text, length = 64) => {
    const line = text.replace(/\s+/g, " ");
    return line.length > length ? `${line.slice(0, length - 1)}…` : line;
  };
  const points = (fraction) => (100 * fraction).toFixed(2);
  // Of the metric that builds are judged by: what is shown of its values and of its drops.
  const of = (chart, key = chart.metric.key) => (d) => chart.metric.factor * d[key];
  const written = (metric, value) => (metric.factor === 100 ? points(value) : String(Number(value.toPrecision(3))));
  const good = (d) => d.standing === "good enough";
  const colour = (d) => (d.ship ? accent : d.kind === "baseline" ? muted : ink);
  const fill = (d) => (good(d) || d.kind === "baseline" ? colour(d) : "var(--paper)");
  const asIs = (value) => ({ value, scale: null });

  // ---- what several charts share ----

  function frame(chart, width, options) {
    const drawn = Plot.plot({
      width,
      ariaLabel: chart.title,
      ariaDescription: chart.finding,
      style: { background: "none", fontFamily: "inherit", fontSize: "12px", overflow: "visible" },
      ...options,
    });
    // The picture has one name; Plot also names its groups, which have no role that may have one.
    drawn.querySelectorAll("g[aria-label]").forEach((group) => group.removeAttribute("aria-label"));
    (drawn.tagName === "svg" ? drawn : drawn.querySelector("svg[aria-label]")).setAttribute("role", "img");
    return drawn;
  }

  // A row for each name: the name beside it where there is room, else above it.
  function named(names, width) {
    const wide = width >= WIDE;
    const longest = Math.max(...names.map((name) => clip(name).length));
    const step = wide ? 26 : 48;
    return {
      marginLeft: wide ? Math.min(16 + 7 * longest, 420) : 8,
      height: 60 + step * names.length,
      label: wide
        ? Plot.axisY({ tickSize: 0, tickFormat: (name) => clip(name, 58), label: null })
        : Plot.text(names, { y: (d) => d, text: (d) => clip(d, 48), frameAnchor: "left", textAnchor: "start", dx: -6, dy: -20, fill: muted, stroke: "var(--paper)", strokeWidth: 5 }),
      y: { domain: names, label: null, axis: null, inset: 4 },
    };
  }

  const flipped = (d) => (d.flips === null ? "" : `, ${d.flips} flips`);
  const unique = (data, key) => [...new Set(data.map((d) => d[key]))];

  // The name of the build to ship, above its mark, towards the side that has room.
  const names = (chart, x, width, log) => {
    const data = chart.data;
    const value = typeof x === "string" ? (d) => d[x] : x, [low, high] = d3.extent(data, value);
    const middle = log ? Math.sqrt(low * high) : (low + high) / 2;
    return [true, false].map((left) => Plot.text(data, {
      filter: (d) => d.ship && value(d) <= middle === left, x, y: of(chart), text: (d) => clip(d.build, Math.max(12, Math.floor(width / 14))),
      textAnchor: left ? "start" : "end", dx: left ? -4 : 4, dy: -14, fill: accent, stroke: "var(--paper)", strokeWidth: 4, fontWeight: 600,
    }));
  };

  // Round numbers for a logarithmic scale.
  const rounds = (data, value) => {
    const [low, high] = d3.extent(data, value);
    return d3.range(-3, 9).flatMap((power) => [1, 2, 5].map((each) => each * 10 ** power)).filter((each) => each >= low && each <= high);
  };

  // A scale that shows each of them: by size where the largest is many times the smallest.
  const spread = (data, key) => d3.max(data, (d) => d[key]) > 6 * d3.min(data, (d) => d[key]);

  const tip = (chart, x, told) =>
    Plot.tip(chart.data, Plot.pointer({ x, y: of(chart), title: (d) => `${clip(d.build)}\n${written(chart.metric, d[chart.metric.key])}${chart.metric.unit}, ${told(d)}\n${d.standing}` }));

  const marks = (chart, x, opacity) =>
    Plot.dot(chart.data, { x, y: of(chart), symbol: "engine", fill: asIs(fill), stroke: asIs(colour), strokeWidth: 1.5, r: 5, opacity });

  const upwards = (chart) => {
    const [least, most] = d3.extent(chart.data, of(chart));
    const ticks = least < most ? { ticks: 6 } : { ticks: [least], tickFormat: () => written(chart.metric, chart.data[0][chart.metric.key]) };
    return { label: chart.metric.head, reverse: chart.metric.reversed, grid: true, inset: 10, ...ticks };
  };

  // ---- the charts ----

  const drawings = {
    size(chart, width) {
      const data = chart.data, x = (d) => d.bytes / 1000;
      const front = data.filter((d) => d.front).sort((a, b) => a.bytes - b.bytes);
      const log = spread(data, "bytes");
      return frame(chart, width, {
        height: Math.min(420, 0.75 * width + 60), marginLeft: 48, marginBottom: 44, marginRight: 24, marginTop: 28,
        x: { label: "size, kB", type: log ? "log" : "linear", inset: 12, ticks: log ? rounds(data, x) : width < 500 ? 4 : 7, tickFormat: (kb) => kb.toLocaleString("en-US", { maximumFractionDigits: 3 }) },
        y: upwards(chart), symbol: { legend: true },
        marks: [
          Plot.line(front, { x, y: of(chart), curve: "step-after", stroke: muted, strokeDasharray: "2,3" }),
          names(chart, x, width, log), marks(chart, x), tip(chart, x, (d) => `${x(d).toFixed(1)} kB`),
        ],
      });
    },

    latency(chart, width) {
      const data = chart.data, x = "ratio", y = of(chart);
      const front = data.filter((d) => d.front).sort((a, b) => a.ratio - b.ratio);
      const log = spread(data, "ratio");
      const opacity = (d) => (d.resolvable ? 1 : 0.35);
      return frame(chart, width, {
        height: Math.min(420, 0.75 * width + 60), marginLeft: 48, marginBottom: 44, marginRight: 24, marginTop: 28,
        x: { label: "time over the reference’s; under 1 is faster", type: log ? "log" : "linear", base: 2, zero: !log, inset: 12, ticks: width < 500 ? 4 : 7, tickFormat: "~r" },
        y: upwards(chart), symbol: { legend: true },
        marks: [
          Plot.ruleX([1], { stroke: muted }),
          Plot.line(front, { x, y, curve: "step-after", stroke: muted, strokeDasharray: "2,3" }),
          Plot.ruleY(data, { x1: "low", x2: "high", y, stroke: asIs(colour), strokeWidth: 1.5, opacity }),
          names(chart, x, width, log), marks(chart, x, opacity),
          tip(chart, x, (d) => `${d.ratio.toFixed(2)} (${d.low.toFixed(2)} to ${d.high.toFixed(2)}) of the reference’s ${d.clock}${d.resolvable ? "" : ": not resolvable here"}`),
        ],
      });
    },

    drops(chart, width) {
      const data = chart.data, y = "build", metric = chart.metric, shown = (key) => of(chart, key), told = (value) => written(metric, value);
      const { label, ...place } = named(unique(data, "build"), width);
      return frame(chart, width, {
        ...place, marginRight: 24, marginBottom: 44, marginTop: 24,
        x: { label: metric.drop, grid: true, nice: true, zero: true },
        marks: [
          Plot.ruleX([0], { stroke: muted }),
          Plot.tickX(data, { x: shown("margin"), y, stroke: warn, strokeWidth: 2, inset: -4 }),
          Plot.text(data.slice(0, 1), { x: shown("margin"), text: () => "margin", frameAnchor: "top", dy: -14, fill: warn }),
          Plot.ruleY(data, { x1: shown("low"), x2: shown("high"), y, stroke: asIs(colour), strokeWidth: 2 }),
          Plot.dot(data, { x: shown("drop"), y, fill: asIs(fill), stroke: asIs(colour), strokeWidth: 2, r: 5 }),
          label,
          Plot.tip(data, Plot.pointerY({ x: shown("drop"), y, title: (d) => `${clip(d.build)}\n${told(d.drop)} (${told(d.low)} to ${told(d.high)}), margin ${told(d.margin)}\n${d.standing}${flipped(d)}` })),
        ],
      });
    },

    classes(chart, width) {
      const data = chart.data, classes = unique(data, "class"), most = d3.max(data, (d) => Math.abs(d.drop)) || 1;
      const { label, ...place } = named(unique(data, "build"), width);
      const cell = (width - place.marginLeft - 40) / classes.length;
      const shade = (d) => `color-mix(in srgb, ${d.drop > 0 ? "var(--warn)" : "var(--accent)"} ${Math.round((55 * Math.abs(d.drop)) / most)}%, transparent)`;
      const turned = d3.max(classes, (name) => 7 * Math.min(name.length, 16)) > cell;
      return frame(chart, width, {
        ...place, height: place.height + (turned ? 60 : 0), marginTop: turned ? 104 : 44, marginRight: turned ? 40 : 8, marginBottom: 8,
        x: { domain: classes, label: null, axis: "top", tickSize: 0, tickFormat: (name) => clip(name, 16), tickRotate: turned ? -45 : 0, padding: 0.04 },
        y: { ...place.y, padding: width >= WIDE ? 0.06 : 0.45 },
        marks: [
          Plot.cell(data, { x: "class", y: "build", fill: asIs(shade), inset: 0.5 }),
          cell < 26 ? null : Plot.text(data, { x: "class", y: "build", text: (d) => (100 * d.drop).toFixed(1), fill: ink, fontSize: cell < 36 ? 10 : 12 }),
          label,
          Plot.tip(data, Plot.pointer({ x: "class", y: "build", title: (d) => `${clip(d.build)}\n${clip(d.class)}: ${points(d.drop)} points` })),
        ],
      });
    },

    draws(chart, width) {
      const data = chart.data, y = "build", metric = chart.metric, shown = (key) => of(chart, key);
      const { label, ...place } = named(unique(data, "build"), width);
      const means = d3.groups(data, (d) => d.build).map(([, all]) => all[0]);
      return frame(chart, width, {
        ...place, marginRight: 24, marginBottom: 44, marginTop: 16,
        x: { label: metric.drop, grid: true, nice: true, zero: true },
        marks: [
          Plot.ruleX([0], { stroke: muted }),
          Plot.ruleY(means, { x1: shown("low"), x2: shown("high"), y, stroke: accent, strokeWidth: 2 }),
          Plot.tickX(means, { x: shown("mean"), y, stroke: accent, strokeWidth: 2 }),
          Plot.dot(data, { x: shown("drop"), y, stroke: ink, fill: ink, fillOpacity: 0.25, r: 4 }),
          label,
          Plot.tip(data, Plot.pointer({ x: shown("drop"), y, title: (d) => `${clip(d.build)}\nseed ${d.seed}: ${written(metric, d.drop)}${metric.points}${flipped(d)}` })),
        ],
      });
    },

    layers(chart, width) {
      const { label, ...place } = named(unique(chart.data, "layer"), width);
      const long = chart.data.flatMap((d) => [["weights", d.weights], ["output", d.output]].map(([of, db]) => ({ layer: d.layer, kind: d.kind, of, db }))).filter((d) => d.db !== null);
      return frame(chart, width, {
        ...place, marginRight: 24, marginBottom: 44, marginTop: 16,
        x: { label: "signal over noise, dB", grid: true, nice: true, zero: true },
        symbol: { legend: true, domain: ["output", "weights"], range: ["circle", "diamond"] },
        marks: [
          Plot.dot(long, { x: "db", y: "layer", symbol: "of", fill: asIs((d) => (d.of === "output" ? accent : "var(--paper)")), stroke: asIs((d) => (d.of === "output" ? accent : ink)), strokeWidth: 1.5, r: 5 }),
          label,
          Plot.tip(long, Plot.pointer({ x: "db", y: "layer", title: (d) => `${clip(d.layer)} (${clip(d.kind)})\n${d.of}: ${d.db.toFixed(1)} dB` })),
        ],
      });
    },
  };

  function drawAll() {
    for (const chart of JSON.parse(document.getElementById("charts-data").textContent)) {
      const place = document.querySelector(`[data-chart="${chart.name}"] .plot`);
      let drawn = 0;
      new ResizeObserver(() => {
        const width = Math.floor(place.clientWidth);
        if (width > 0 && width !== drawn && !(drawn && matchMedia("print").matches)) {
          drawn = width;
          place.replaceChildren(drawings[chart.name](chart, width));
        }
      }).observe(place);
    }
  }

  // ---- the table ----

  function makeTable() {
    if (!document.getElementById("rows")) return;
    const table = new DataTable("#rows", {
      paging: false, autoWidth: false, order: [],
      layout: { topStart: "search", topEnd: "info", bottomStart: null, bottomEnd: null },
      language: { search: "Filter", info: "_TOTAL_ builds", infoFiltered: "of _MAX_", infoEmpty: "0 builds", zeroRecords: "No build matches." },
    });
    for (const name of ["engine", "standing"]) {
      const select = document.getElementById(name);
      table.search.fixed(name, (text, data, index) => !select.value || table.row(index).node().dataset[name] === select.value);
      select.addEventListener("change", () => table.draw());
    }
    document.querySelector(".filters").hidden = false;
  }

  // ---- light and dark ----

  function makeToggle() {
    const button = document.getElementById("theme"), root = document.documentElement;
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    const say = () => { button.textContent = dark() ? "Light" : "Dark"; };
    button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; say(); });
    button.hidden = false;
    say();
  }

  makeToggle();
  makeTable();
  drawAll();
})();
