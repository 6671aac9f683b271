"use strict";
// The page of `zoo view`. Names from outside are only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { maps, phases } = JSON.parse(document.getElementById("pictures").textContent);
  const at = (id) => document.getElementById(id);
  const stages = data.stages, last = stages.length;
  const state = { trained: data.phases[0].trained.slice(), chosen: 0, own: false };

  // ---- words -----------------------------------------------------------------------------------
  const count = (n) => {
    for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) if (n >= size) return (n / size).toFixed(1) + unit;
    return String(n);
  };
  const bytes = (n) => (n >= 1e9 ? (n / 1e9).toFixed(1) + " GB" : (n / 1e6).toFixed(1) + " MB");
  const seconds = (s) => (s < 90 ? s.toFixed(s < 10 ? 1 : 0) + " s" : s < 5400 ? (s / 60).toFixed(0) + " min" : (s / 3600).toFixed(1) + " h");
  const isWhole = (field) => field[0] >= data.input[1] && field[1] >= data.input[2];
  const sees = (stage) => (!stage.field ? "not known" : isWhole(stage.field) ? "the whole image" : `${stage.field[0]} × ${stage.field[1]} pixels`);
  const partly = stages.map((stage) => Boolean(stage.field && !isWhole(stage.field)));
  state.chosen = partly.includes(true) ? partly.lastIndexOf(true) : last - 1;
  const sum = (list, of) => list.reduce((total, one) => total + of(one), 0);

  const many = `${data.images.toLocaleString("en")} images`;
  const cutInWords = (depth) => {
    const params = count(sum(stages.slice(depth), (one) => one.params));
    const head = data.headParams ? `${count(data.headParams)} of the head` : "the head";
    let told = depth === last ? `All stages are frozen: only ${head} is trained` : `${depth} of ${last} stages are frozen: ${params} parameters of the backbone and ${head} are trained`;
    told += depth ? `, and a cache of ${bytes(stages[depth - 1].cached * data.images)} for ${many}.` : "; nothing is cached.";
    if (!stages.every((one) => one.seconds)) return told;
    const epoch = seconds(data.images * sum(stages.slice(depth), (one) => one.seconds[1]));
    const once = seconds(data.images * sum(stages.slice(0, depth), (one) => one.seconds[0]));
    told += depth === last ? " An epoch is that of the head alone, which was not timed." : ` An epoch of ${many} takes about ${epoch}.`;
    return depth ? `${told} The cache takes ${once} once.` : told;
  };

  // ---- the chosen stage -------------------------------------------------------------------------
  const fact = (name, value) => {
    const [term, told] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    told.textContent = value;
    return [term, told];
  };
  const showChosen = () => {
    const stage = stages[state.chosen], box = at("box");
    at("chosen-name").textContent = `The stage ${stage.name}`;
    for (const button of at("choose").children) button.setAttribute("aria-pressed", String(+button.dataset.stage === state.chosen));
    at("facts").replaceChildren(
      ...fact("output", `${stage.channels} channels of ${stage.height} × ${stage.width} cells`),
      ...fact("parameters", count(stage.params)),
      ...fact("multiply-accumulates", stage.macs === null ? "not known" : count(stage.macs)),
      ...fact("a cell sees", sees(stage)),
      ...fact("cache", `${bytes(stage.cached * data.images)} for ${many}`),
      ...fact("now", state.trained[state.chosen] ? "trained" : "frozen"),
    );
    box.hidden = !stage.box;
    at("box-told").textContent = stage.box ? `The part that the cell in the middle of ${stage.name} sees: ${sees(stage)}.` : `What a cell of ${stage.name} sees is not known.`;
    if (stage.box) {
      const [left, top, right, bottom] = stage.box, [, height, width] = data.input;
      Object.assign(box.style, { left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%` });
      Object.assign(box.style, { width: `${(100 * (right - left + 1)) / width}%`, height: `${(100 * (bottom - top + 1)) / height}%` });
    }
    if (at("maps")) {
      at("maps").src = `data:image/png;base64,${maps[state.chosen]}`;
      at("maps").alt = `${data.maps[state.chosen]} feature maps of ${stage.name}`;
    }
  };
  const choose = (number) => {
    state.chosen = number;
    showChosen();
    view?.paint();
  };
  const showTrained = (trained, own) => {
    [state.trained, state.own] = [trained, own];
    at("plan").classList.toggle("used", !own);
    at("own").classList.toggle("used", own);
    document.querySelectorAll(".state").forEach((cell, number) => (cell.textContent = trained[number] ? "trained" : "frozen"));
    showChosen();
    view?.paint();
  };
  at("phase").addEventListener("input", (event) => {
    const number = event.target.value - 1;
    at("phase-told").textContent = phases[number];
    showTrained(data.phases[number].trained.slice(), false);
  });
  at("cut").addEventListener("input", (event) => {
    const depth = +event.target.value;
    at("cut-told").textContent = cutInWords(depth);
    showTrained(stages.map((_, number) => number >= depth), true);
  });
  at("choose").addEventListener("click", (event) => event.target.dataset.stage && choose(+event.target.dataset.stage));

  // ---- the scene --------------------------------------------------------------------------------
  const TALL = 4, LONG = 7, GAP = 0.5, BEHIND = 0.35, THIN = 0.03, FAR = 60; // of the image, of all channels, between boxes, more behind a deep one, of the thinnest side, of the camera
  const start = () => ({ turn: at("stage").clientWidth < 600 ? -0.9 : -0.6, lift: 0.36, near: 1 });

  function scene() {
    const renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
    const canvas = renderer.domElement, host = at("stage");
    const world = new THREE.Scene(), camera = new THREE.OrthographicCamera(-1, 1, 1, -1, 0.1, 200); // parallel: near and far are to one scale
    const now = start(), boxes = [], spans = [];
    canvas.id = "scene";
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "The stages in 3D, to scale. The table below has all that it shows.");
    host.querySelector(".twin").hidden = true;
    host.prepend(canvas);
    at("turn").hidden = false;

    const colour = (name) => new THREE.Color(getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    const cell = TALL / Math.max(data.input[1], ...stages.map((one) => one.height));
    const channel = LONG / sum(stages, (one) => one.channels);
    const side = (cells) => Math.max(THIN, cells * cell);
    let x = 0;

    const texture = (source, crop) => {
      const made = new THREE.Texture();
      const image = new Image();
      image.onload = () => {
        const canvas = document.createElement("canvas");
        const [columns, rows] = crop.grid, width = image.width / columns, height = image.height / rows;
        Object.assign(canvas, { width, height });
        canvas.getContext("2d").drawImage(image, (crop.number % columns) * width, Math.floor(crop.number / columns) * height, width, height, 0, 0, width, height);
        made.image = canvas;
        made.colorSpace = THREE.SRGBColorSpace;
        made.magFilter = THREE.NearestFilter;
        made.needsUpdate = true;
        paint();
      };
      image.src = source;
      return made;
    };
    const plane = (height, width, where, map, opacity) => {
      const material = new THREE.MeshBasicMaterial({ side: THREE.DoubleSide, transparent: true, opacity, map, depthWrite: opacity === 1 });
      const made = new THREE.Mesh(new THREE.PlaneGeometry(width, height), material);
      made.rotation.y = -Math.PI / 2;
      made.position.set(where, 0, 0);
      world.add(made);
      return made;
    };
    const named = (text, kind) => {
      const span = document.createElement("span");
      span.textContent = text;
      span.className = kind;
      at("names").append(span);
      spans.push(span);
      return span;
    };

    const shown = document.querySelector("#seen img");
    const [height, width] = [side(data.input[1]), side(data.input[2])];
    const first = plane(height, width, 0, shown ? texture(shown.src, { grid: [1, 1], number: 0 }) : null, 1);
    if (!shown) first.material.color = new THREE.Color("#9aa0a6");
    boxes.push({ centre: 0, length: 0, height, depth: width, span: named("image", "image"), number: -1 });
    x += GAP + BEHIND * width;
    stages.forEach((stage, number) => {
      const [length, height, depth] = [Math.max(THIN, stage.channels * channel), side(stage.height), side(stage.width)];
      const solid = new THREE.Mesh(
        new THREE.BoxGeometry(length, height, depth),
        new THREE.MeshLambertMaterial({ transparent: true, opacity: data.image ? 0.5 : 0.95, depthWrite: !data.image }),
      );
      const edges = new THREE.LineSegments(new THREE.EdgesGeometry(solid.geometry), new THREE.LineBasicMaterial());
      solid.position.set(x + length / 2, 0, 0);
      edges.position.copy(solid.position);
      solid.userData.number = number;
      world.add(solid, edges);
      if (data.image) {
        const many = Math.min(data.maps[number], Math.max(1, Math.floor(length / 0.06)));
        for (let map = 0; map < many; map++) {
          const picture = texture(`data:image/png;base64,${maps[number]}`, { grid: data.grids[number], number: map });
          plane(height, depth, x + (many === 1 ? 0 : (length * map) / (many - 1)) - 0.004, picture, map ? 0.55 : 0.97);
        }
      }
      boxes.push({ solid, edges, centre: x + length / 2, length, height, depth, span: named(stage.name, ""), number });
      x += length + GAP + BEHIND * depth;
    });
    const middle = x / 2;
    world.add(new THREE.AmbientLight(0xffffff, 1.9));
    const lamp = new THREE.DirectionalLight(0xffffff, 1.6);
    lamp.position.set(-3, 6, 8);
    world.add(lamp);

    function paint() {
      const [wide, high] = [host.clientWidth, host.clientHeight];
      renderer.setPixelRatio(Math.min(2, devicePixelRatio));
      renderer.setSize(wide, high, false);
      aim(wide / high);
      const [trained, frozen, edge, accent] = ["--trained", "--frozen", "--edge", "--accent"].map(colour);
      for (const box of boxes) {
        if (!box.solid) continue;
        const isTrained = state.trained[box.number], isChosen = box.number === state.chosen;
        box.solid.material.color = isTrained ? trained : frozen;
        box.edges.material.color = isChosen ? accent : edge;
        box.span.className = (isTrained ? "trained " : "") + (isChosen ? "chosen" : "");
      }
      renderer.render(world, camera);
      place(wide, high);
      canvas.dataset.view = [now.turn, now.lift, now.near].map((one) => one.toFixed(3)).join(" ");
      canvas.dataset.triangles = renderer.info.render.triangles;
    }
    // The camera looks at all boxes, which fit its window; the nearer it is, the more at the chosen stage.
    function aim(aspect) {
      camera.position.set(middle + FAR * Math.sin(now.turn) * Math.cos(now.lift), FAR * Math.sin(now.lift), FAR * Math.cos(now.turn) * Math.cos(now.lift));
      camera.lookAt(middle, 0, 0);
      camera.updateMatrixWorld();
      const seen = (place) => place.applyMatrix4(camera.matrixWorldInverse), corners = [];
      for (const { centre, length, height, depth } of boxes)
        for (const across of [-1, 1]) for (const up of [-1, 1]) for (const deep of [-1, 1])
          corners.push(seen(new THREE.Vector3(centre + (across * length) / 2, (up * height) / 2, (deep * depth) / 2)));
      const [left, right] = [Math.min(...corners.map((one) => one.x)), Math.max(...corners.map((one) => one.x))];
      const [low, high] = [Math.min(...corners.map((one) => one.y)), Math.max(...corners.map((one) => one.y))];
      const half = (1.1 * Math.max(right - left, (high - low) * aspect)) / 2 / now.near;
      const chosen = seen(new THREE.Vector3(boxes[state.chosen + 1].centre, 0, 0)), share = limit(0, now.near - 1, 1);
      const [across, up] = [(left + right) / 2, (low + high) / 2 - 0.03 * (high - low)];
      const [centreX, centreY] = [across + share * (chosen.x - across), up + share * (chosen.y - up)];
      Object.assign(camera, { left: centreX - half, right: centreX + half, top: centreY + half / aspect, bottom: centreY - half / aspect });
      camera.updateProjectionMatrix();
    }
    // A name that would cover another one is left out; the chosen stage's never is.
    function place(wide, high) {
      const taken = [];
      const order = [...boxes].sort((one, other) => (other.number === state.chosen) - (one.number === state.chosen));
      for (const box of order) {
        const point = new THREE.Vector3(box.centre, -box.height / 2 - 0.12, box.depth / 2).project(camera);
        const span = box.span, [own, tall] = [span.offsetWidth || 60, 22];
        const left = Math.min(wide - own - 2, Math.max(2, ((point.x + 1) / 2) * wide - own / 2));
        const top = Math.min(high - tall - 4, Math.max(2, ((1 - point.y) / 2) * high));
        const free = taken.every((one) => left > one.left + one.own + 2 || left + own + 2 < one.left || Math.abs(top - one.top) > tall + 2);
        span.style.visibility = free ? "visible" : "hidden";
        span.style.transform = `translate(${left}px, ${top}px)`;
        if (free) taken.push({ left, own, top });
      }
    }
    const limit = (low, value, high) => Math.min(high, Math.max(low, value));
    const turn = (sideways, up) => {
      now.turn = limit(-1.5, now.turn + sideways, 1.5);
      now.lift = limit(-1.2, now.lift + up, 1.4);
      paint();
    };
    const zoom = (factor) => {
      now.near = limit(0.4, now.near * factor, 12);
      paint();
    };
    const moves = {
      left: () => turn(-0.2, 0), right: () => turn(0.2, 0), in: () => zoom(1.25), out: () => zoom(0.8),
      front: () => { Object.assign(now, { turn: 0, lift: 0.02, near: 1 }); paint(); },
      start: () => { Object.assign(now, start()); paint(); },
    };
    at("turn").addEventListener("click", (event) => moves[event.target.dataset.do]?.());
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: moves.left, ArrowRight: moves.right, ArrowUp: () => turn(0, 0.12), ArrowDown: () => turn(0, -0.12), "+": moves.in, "=": moves.in, "-": moves.out }[event.key];
      if (!move || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      move();
    });
    const held = new Map();
    let gap = 0, moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      held.set(event.pointerId, event);
      [gap, moved] = [0, 0];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = held.get(event.pointerId);
      if (!before) return;
      held.set(event.pointerId, event);
      if (held.size === 1) {
        const [sideways, up] = [event.clientX - before.clientX, event.clientY - before.clientY];
        moved += Math.abs(sideways) + Math.abs(up);
        turn(-sideways * 0.006, event.pointerType === "touch" ? 0 : up * 0.006);
      } else {
        const [one, other] = [...held.values()], wide = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        if (gap) zoom(wide / gap);
        gap = wide;
      }
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => held.delete(event.pointerId));
    canvas.addEventListener("click", (event) => {
      if (moved > 6) return;
      const place = canvas.getBoundingClientRect(), ray = new THREE.Raycaster();
      const point = new THREE.Vector2(((event.clientX - place.left) / place.width) * 2 - 1, 1 - ((event.clientY - place.top) / place.height) * 2);
      ray.setFromCamera(point, camera);
      const hit = ray.intersectObjects(boxes.filter((box) => box.solid).map((box) => box.solid))[0];
      if (hit) choose(hit.object.userData.number);
    });
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.002));
    }, { passive: false });
    addEventListener("resize", paint);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
    return { paint };
  }

  let view = null;
  try {
    view = scene();
  } catch {
    view = null; // no WebGL here: the flat picture stands in its place
    at("stage").querySelector("canvas")?.remove();
    at("stage").querySelector(".twin").hidden = false;
    at("turn").hidden = true;
  }
  at("cut").value = state.trained.includes(true) ? state.trained.indexOf(true) : last;
  at("cut-told").textContent = cutInWords(+at("cut").value);
  showChosen();
  view?.paint();
})();
