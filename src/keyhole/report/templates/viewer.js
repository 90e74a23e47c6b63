// Keyhole's 3D view: surfaces and corridors of one case, read from the page's own "scene" element.
// Axes: x the patient's left, y up, z anterior; mm from the middle of the level.
(function () {
  "use strict";
  const stage = document.getElementById("stage");
  const data = JSON.parse(document.getElementById("scene").textContent);
  const view = new THREE.Scene();
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ antialias: true, alpha: false, preserveDrawingBuffer: true });
  } catch (error) {
    return; // the page's own sentence about WebGL stays in place
  }
  stage.querySelector(".fallback").remove();
  stage.prepend(renderer.domElement);
  renderer.setClearColor(0xffffff, 1);
  renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));

  // -- camera: parallel projection, so that lengths compare at every depth
  const camera = new THREE.OrthographicCamera(-1, 1, 1, -1, -2000, 4000);
  const controls = new THREE.OrbitControls(camera, renderer.domElement);
  controls.enableDamping = false;
  controls.zoomToCursor = true;
  const HALF_HEIGHT = 105; // mm seen above and below the middle when the page opens

  function resize() {
    const width = stage.clientWidth, height = stage.clientHeight;
    renderer.setSize(width, height);
    camera.top = HALF_HEIGHT; camera.bottom = -HALF_HEIGHT;
    camera.right = HALF_HEIGHT * width / height; camera.left = -camera.right;
    camera.updateProjectionMatrix();
    draw();
  }

  view.add(new THREE.HemisphereLight(0xffffff, 0xb8b4ac, 1.5));
  const lamp = new THREE.DirectionalLight(0xffffff, 1.7);
  view.add(lamp, lamp.target);

  // -- surfaces
  function bytes(text) {
    const raw = atob(text), out = new Uint8Array(raw.length);
    for (let n = 0; n < raw.length; n++) out[n] = raw.charCodeAt(n);
    return out.buffer;
  }
  function material(colour, opacity) {
    const made = new THREE.MeshStandardMaterial({ color: colour, roughness: 0.75, metalness: 0, side: THREE.DoubleSide });
    fade(made, opacity);
    return made;
  }
  function fade(made, opacity) {
    made.opacity = opacity;
    made.transparent = opacity < 1;
    made.depthWrite = opacity > 0.6;
    made.needsUpdate = true;
  }
  const groups = new Map(data.groups.map((group) => [group.name, { ...group, meshes: [] }]));
  for (const entry of data.meshes) {
    const steps = new Uint16Array(bytes(entry.positions));
    const points = new Float32Array(steps.length);
    for (let n = 0; n < steps.length; n++) points[n] = entry.origin[n % 3] + steps[n] * entry.step[n % 3];
    const faces = entry.wide ? new Uint32Array(bytes(entry.faces)) : new Uint16Array(bytes(entry.faces));
    const shape = new THREE.BufferGeometry();
    shape.setAttribute("position", new THREE.BufferAttribute(points, 3));
    shape.setIndex(new THREE.BufferAttribute(faces, 1));
    shape.computeVertexNormals();
    const group = groups.get(entry.group);
    const mesh = new THREE.Mesh(shape, material(group.colour, group.opacity));
    mesh.visible = group.shown;
    mesh.renderOrder = group.opacity < 1 ? 2 : 0;
    mesh.name = entry.name;
    group.meshes.push(mesh);
    view.add(mesh);
  }

  // -- corridors: tube and instrument as capsules, to scale
  function capsule(from, to, radius, made) {
    const a = new THREE.Vector3(...from), b = new THREE.Vector3(...to);
    const along = b.clone().sub(a), length = along.length();
    const mesh = new THREE.Mesh(new THREE.CapsuleGeometry(radius, length, 8, 40), made);
    if (length > 0) mesh.quaternion.setFromUnitVectors(new THREE.Vector3(0, 1, 0), along.normalize());
    mesh.position.copy(a.add(b).multiplyScalar(0.5));
    return mesh;
  }
  const corridors = data.corridors.map((entry) => {
    const group = new THREE.Group();
    const wall = capsule(entry.entry, entry.stop, entry.radius, material(entry.colour, 0.42));
    const core = capsule(entry.dock, entry.target, entry.instrument_radius, material(entry.colour, 1));
    const axis = new THREE.Line(
      new THREE.BufferGeometry().setFromPoints([new THREE.Vector3(...entry.entry), new THREE.Vector3(...entry.dock)]),
      new THREE.LineBasicMaterial({ color: entry.colour })
    );
    wall.renderOrder = 3;
    group.add(wall, core, axis);
    group.visible = entry.shown;
    view.add(group);
    return { ...entry, group };
  });

  // -- letters of the patient's directions, scale bar
  const named = [["L", "left", 1], ["R", "left", -1], ["P", "posterior", 1], ["A", "posterior", -1], ["S", "up", 1], ["I", "up", -1]]
    .map(([letter, name, sign]) => [letter, new THREE.Vector3(...data.directions[name]).multiplyScalar(sign)]);
  function letters(direction) {
    return named.map(([letter, axis]) => [direction.dot(axis), letter]).filter(([share]) => share > 0.4)
      .sort((a, b) => b[0] - a[0]).map(([, letter]) => letter).join("");
  }
  function mark() {
    const right = new THREE.Vector3(1, 0, 0).applyQuaternion(camera.quaternion);
    const up = new THREE.Vector3(0, 1, 0).applyQuaternion(camera.quaternion);
    const ways = { left: right.clone().negate(), right, top: up, bottom: up.clone().negate() };
    for (const edge of stage.querySelectorAll(".edge")) edge.textContent = letters(ways[edge.dataset.edge]);
    const perMm = stage.clientHeight / (2 * HALF_HEIGHT) * camera.zoom;
    const length = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * perMm < 150) || 1;
    stage.querySelector(".scale .bar").style.width = `${length * perMm}px`;
    stage.querySelector(".scale .length").textContent = `${length} mm`;
  }
  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      lamp.position.copy(camera.position).sub(controls.target)
        .add(new THREE.Vector3(0.25, 0.35, 0).applyQuaternion(camera.quaternion).multiplyScalar(400)).add(controls.target);
      lamp.target.position.copy(controls.target);
      mark();
      renderer.render(view, camera);
    });
  }
  controls.addEventListener("change", draw);

  // -- preset views
  const left = new THREE.Vector3(...data.directions.left);
  const posterior = new THREE.Vector3(...data.directions.posterior);
  const up = new THREE.Vector3(...data.directions.up);
  function look(from, head) {
    controls.target.set(0, 0, 0);
    camera.up.copy(head);
    camera.position.copy(from).normalize().multiplyScalar(900);
    camera.zoom = 1;
    camera.updateProjectionMatrix();
    controls.update();
    draw();
  }
  function downTheTube() {
    const shown = corridors.find((entry) => entry.group.visible) || corridors[0];
    if (!shown) return;
    const from = new THREE.Vector3(...shown.entry).sub(new THREE.Vector3(...shown.dock));
    look(from, up);
    controls.target.set(...shown.dock);
    camera.position.copy(from.normalize().multiplyScalar(900)).add(controls.target);
    camera.zoom = 3;
    camera.updateProjectionMatrix();
    controls.update();
    draw();
  }
  const oblique = posterior.clone().multiplyScalar(0.8).add(up.clone().multiplyScalar(0.4));
  function toSide() { // the side that the first corridor comes from
    const first = corridors[0];
    return first && new THREE.Vector3(...first.entry).dot(left) < 0 ? left.clone().negate() : left.clone();
  }
  const presets = [
    ["Oblique", () => look(oblique.clone().add(toSide().multiplyScalar(0.7)), up)],
    ["Behind", () => look(posterior, up)],
    ["Left", () => look(left, up)],
    ["Right", () => look(left.clone().negate(), up)],
    ["Front", () => look(posterior.clone().negate(), up)],
    ["Above", () => look(up, posterior.clone().negate())],
    ...(corridors.length ? [["Down the tube", downTheTube]] : []),
  ];
  const bar = document.querySelector(".presets");
  for (const [name, act] of presets) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", act);
    bar.append(button);
  }

  // -- switches
  function row(title, colour, shown, onSwitch) {
    const line = document.createElement("div"), label = document.createElement("label"), box = document.createElement("input");
    line.className = "switch";
    box.type = "checkbox";
    box.checked = shown;
    box.addEventListener("change", () => { onSwitch(box.checked); draw(); });
    label.append(box);
    if (colour) {
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = colour;
      label.append(swatch);
    }
    label.append(document.createTextNode(title));
    line.append(label);
    return [line, box];
  }
  for (const entry of corridors) {
    const [line] = row(entry.title, entry.colour, entry.shown, (on) => { entry.group.visible = on; });
    document.getElementById("corridor-switches").append(line);
  }
  for (const group of groups.values()) {
    const members = [];
    const [line] = row(group.title, group.colour, group.shown, (on) => {
      group.meshes.forEach((mesh) => { mesh.visible = on; });
      members.forEach((box) => { box.checked = on; });
    });
    const slider = document.createElement("input");
    slider.type = "range"; slider.min = "0.1"; slider.max = "1"; slider.step = "0.05"; slider.value = String(group.opacity);
    slider.setAttribute("aria-label", `Opacity of ${group.title}`);
    slider.addEventListener("input", () => {
      group.meshes.forEach((mesh) => { fade(mesh.material, Number(slider.value)); mesh.renderOrder = slider.value < 1 ? 2 : 0; });
      draw();
    });
    line.append(slider);
    document.getElementById("group-switches").append(line);
    if (group.meshes.length > 1) {
      const list = document.createElement("details"), head = document.createElement("summary");
      list.className = "members";
      head.textContent = `${group.meshes.length} structures`;
      list.append(head);
      for (const mesh of group.meshes) {
        const [member, box] = row(mesh.name, "", mesh.visible, (on) => { mesh.visible = on; });
        members.push(box);
        list.append(member);
      }
      document.getElementById("group-switches").append(list);
    }
  }

  // -- keyboard
  stage.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [0.12, 0], ArrowRight: [-0.12, 0], ArrowUp: [0, 0.12], ArrowDown: [0, -0.12] }[event.key];
    if (turn) {
      const right = new THREE.Vector3(1, 0, 0).applyQuaternion(camera.quaternion);
      const away = camera.position.clone().sub(controls.target);
      away.applyAxisAngle(camera.up, turn[0]).applyAxisAngle(right, turn[1]);
      camera.position.copy(controls.target).add(away);
    } else if (event.key === "+" || event.key === "=") camera.zoom *= 1.15;
    else if (event.key === "-") camera.zoom /= 1.15;
    else return;
    event.preventDefault();
    camera.updateProjectionMatrix();
    controls.update();
    draw();
  });

  new ResizeObserver(resize).observe(stage);
  window.addEventListener("beforeprint", () => { waiting = false; mark(); renderer.render(view, camera); });
  resize();
  presets[0][1]();
})();
