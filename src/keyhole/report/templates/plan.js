"use strict";
(function () {
  document.documentElement.classList.add("js");
  var data = JSON.parse(document.getElementById("front-data").textContent);
  var space = "http://www.w3.org/2000/svg";

  function shown(value, unit) {
    if (value === null) return "not known";
    return (Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(1)) + " " + unit;
  }

  function ticks(low, high) {
    var width = Math.max(high - low, 1e-6), step = Math.pow(10, Math.floor(Math.log10(width / 4)));
    step *= [1, 2, 5, 10].find(function (m) { return width / (step * m) <= 7; });
    var first = Math.floor(low / step + 1e-9), last = Math.max(Math.ceil(high / step - 1e-9), first + 1), made = [];
    for (var n = first; n <= last; n += 1) made.push(Number((step * n).toPrecision(12)));
    return made;
  }

  function chart() {
    var marks = Array.prototype.slice.call(document.querySelectorAll("#front-chart .mark"));
    var grid = document.getElementById("front-grid"), told = document.getElementById("told");
    var across = document.getElementById("across"), up = document.getElementById("up");
    var left = data.box[0], right = data.box[1], top = data.box[2], bottom = data.box[3];

    function draw(kind, attributes, words) {
      var made = document.createElementNS(space, kind);
      Object.keys(attributes).forEach(function (name) { made.setAttribute(name, attributes[name]); });
      if (words !== undefined) made.textContent = words;
      grid.appendChild(made);
    }

    function range(key) {
      var values = data.points.map(function (p) { return p.values[key]; }).filter(function (v) { return v !== null; });
      return ticks(Math.min.apply(null, [0].concat(values)), Math.max.apply(null, [1e-6].concat(values)));
    }

    function redraw() {
      var xs = range(across.value), ys = range(up.value), a = data.aims[across.value], u = data.aims[up.value];
      function x(v) { return left + (v - xs[0]) / (xs[xs.length - 1] - xs[0]) * (right - left); }
      function y(v) { return bottom - (v - ys[0]) / (ys[ys.length - 1] - ys[0]) * (bottom - top); }
      grid.textContent = "";
      ys.forEach(function (t) {
        draw("line", { x1: left, y1: y(t), x2: right, y2: y(t), stroke: "#d4d4d4" });
        draw("text", { x: left - 8, y: y(t) + 5, "font-size": 13, "text-anchor": "end", fill: "#5c5c5c" }, t);
      });
      xs.forEach(function (t) {
        draw("line", { x1: x(t), y1: bottom, x2: x(t), y2: bottom + 5, stroke: "#5c5c5c" });
        draw("text", { x: x(t), y: bottom + 20, "font-size": 13, "text-anchor": "middle", fill: "#5c5c5c" }, t);
      });
      var middle = (top + bottom) / 2;
      draw("text", { x: (left + right) / 2, y: bottom + 44, "font-size": 14, "text-anchor": "middle" }, a.label + ", " + a.unit);
      draw("text", { x: 16, y: middle, "font-size": 14, "text-anchor": "middle", transform: "rotate(-90 16 " + middle + ")" }, u.label + ", " + u.unit);
      marks.forEach(function (mark) {
        var v = data.points[Number(mark.dataset.n)].values, known = v[across.value] !== null && v[up.value] !== null;
        mark.setAttribute("visibility", known ? "visible" : "hidden");
        if (known) mark.setAttribute("transform", "translate(" + x(v[across.value]).toFixed(1) + " " + y(v[up.value]).toFixed(1) + ")");
      });
    }

    function tell(mark) {
      var point = data.points[Number(mark.dataset.n)], list = document.createElement("dl"), head = document.createElement("p");
      marks.forEach(function (other) { other.classList.toggle("on", other === mark); });
      var name = document.createElement("b");
      name.textContent = "Rank " + point.rank + ": " + point.approach + ", " + point.side;
      head.appendChild(name);
      head.appendChild(document.createTextNode(point.front ? " (on the front)" : ""));
      Object.keys(data.aims).forEach(function (key) {
        var term = document.createElement("dt"), said = document.createElement("dd"), aim = data.aims[key];
        term.textContent = aim.label;
        said.textContent = shown(point.values[key], aim.unit);
        list.appendChild(term);
        list.appendChild(said);
      });
      told.textContent = "";
      told.appendChild(head);
      told.appendChild(list);
    }

    marks.forEach(function (mark) {
      mark.querySelector("title").textContent = "";
      mark.addEventListener("mouseenter", function () { tell(mark); });
      mark.addEventListener("focus", function () { tell(mark); });
    });
    across.value = data.first[0];
    up.value = data.first[1];
    across.addEventListener("change", redraw);
    up.addEventListener("change", redraw);
    document.querySelector(".choose").hidden = false;
    redraw();
  }

  function order() {
    var inputs = Array.prototype.slice.call(document.querySelectorAll(".weights input")), body = document.getElementById("order");

    function scaled(key) {
      var aim = data.aims[key], values = data.points.map(function (p) { return p.values[key]; });
      var known = values.filter(function (v) { return v !== null; });
      var low = Math.min.apply(null, known), high = Math.max.apply(null, known), width = high > low ? high - low : 1;
      return values.map(function (v) { return v === null ? 1 : aim.more ? (high - v) / width : (v - low) / width; });
    }

    function rank() {
      var sums = data.points.map(function () { return 0; });
      inputs.forEach(function (input) {
        input.parentNode.querySelector("output").textContent = input.value;
        scaled(input.dataset.aim).forEach(function (s, n) { sums[n] += Number(input.value) * s; });
      });
      var places = sums.map(function (s, n) { return n; });
      places.sort(function (a, b) { return sums[a] - sums[b] || data.points[a].rank - data.points[b].rank; });
      body.textContent = "";
      places.slice(0, 10).forEach(function (n, place) {
        var row = document.createElement("tr"), point = data.points[n];
        [String(place + 1), "", sums[n].toFixed(2), String(point.rank)].forEach(function (words, k) {
          var box = document.createElement(k === 0 ? "th" : "td");
          if (k === 0) box.scope = "row";
          if (k > 1) box.className = "n";
          if (k === 1) {
            var link = document.createElement("a");
            link.href = point.link;
            link.textContent = point.approach + ", " + point.side;
            box.appendChild(link);
          } else box.textContent = words;
          row.appendChild(box);
        });
        body.appendChild(row);
      });
    }

    inputs.forEach(function (input) { input.addEventListener("input", rank); });
    document.getElementById("own").hidden = false;
    rank();
  }

  function film(box) {
    var frames = Array.prototype.slice.call(box.querySelectorAll(".strip li")), screen = box.querySelector(".screen-box");
    var slider = box.querySelector("input"), button = box.querySelector("button"), said = box.querySelector(".said"), timer = null;

    function show(n) {
      screen.textContent = "";
      screen.appendChild(frames[n].querySelector("svg").cloneNode(true));
      said.textContent = Array.prototype.filter.call(frames[n].childNodes, function (part) {
        return part.nodeName.toLowerCase() !== "svg";
      }).map(function (part) { return part.textContent; }).join("");
      slider.value = String(n);
    }

    function stop() {
      window.clearInterval(timer);
      timer = null;
      button.textContent = "Play";
    }

    slider.addEventListener("input", function () { stop(); show(Number(slider.value)); });
    button.addEventListener("click", function () {
      if (timer !== null) { stop(); return; }
      var n = Number(slider.value) >= frames.length - 1 ? 0 : Number(slider.value);
      button.textContent = "Stop";
      show(n);
      timer = window.setInterval(function () {
        n += 1;
        if (n >= frames.length) stop(); else show(n);
      }, 700);
    });
    show(frames.length - 1);
  }

  if (data.points) { chart(); order(); }
  Array.prototype.forEach.call(document.querySelectorAll("[data-film]"), film);
}());
