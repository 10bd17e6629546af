// When the server has gone, say so and come back with it: the page is loaded anew as soon as the
// server answers again. The websocket of the page is watched from outside, for Bokeh tells nobody.
(() => {
  const Plain = window.WebSocket;
  let isLeaving = false;
  window.addEventListener("beforeunload", () => { isLeaving = true; });

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  async function comeBack() {
    if (isLeaving) return;
    const told = document.getElementById("fb-lost");
    if (told) told.hidden = false;
    document.documentElement.classList.add("fb-is-lost");
    for (;;) {
      await wait(1000);
      try {
        const answer = await fetch("health", {cache: "no-store"});
        if (answer.ok) { window.location.reload(); return; }
        if (told && answer.status === 401) {
          told.textContent = "The server was started anew and asks for a new link; " +
            "whoever started it has been shown one.";
        }
      } catch { /* not there yet */ }
    }
  }

  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener("close", () => { comeBack(); }, {once: true});
    }
  };
})();
