// The one page of the sample: pick an emoji, see the vote counted or refused, see the leaderboard.

/** The page as HTML; `message` is shown at its head when not empty. */
export function page(message: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>emojivoto</title>
<style>
  body { font: 16px/1.4 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; color: #1c2733; background: #fbfaf7 }
  h1 { font-size: 1.4rem } nav a { margin-right: 1rem; color: #0b5cad }
  #grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.2rem, 1fr)); gap: .3rem }
  #grid button { font-size: 1.8rem; border: 1px solid #e3ded2; border-radius: .5rem; background: #fff; cursor: pointer; padding: .3rem }
  #grid button:hover { border-color: #0b5cad } .failed { color: #a4161a } .votes { color: #667; font-size: .9rem }
</style>
<h1>Vote for your favourite emoji</h1>
<p id="message">${message.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]!)}</p>
<nav><a href="/">Pick</a><a href="/leaderboard">Leaderboard</a></nav>
<p id="said" role="status"></p>
<div id="grid"></div>
<script type="module">
  const grid = document.getElementById("grid"), said = document.getElementById("said");
  const ask = async (path) => { const r = await fetch(path); const body = await r.json(); if (!r.ok) throw new Error(body.error); return body };
  const show = (text, failed) => { said.textContent = text; said.className = failed ? "failed" : "" };
  const board = location.pathname === "/leaderboard";
  try {
    for (const emoji of await ask(board ? "/api/leaderboard" : "/api/list")) {
      const button = document.createElement("button");
      button.title = emoji.shortcode;
      button.textContent = emoji.unicode;
      if (board) { const n = document.createElement("div"); n.className = "votes"; n.textContent = emoji.votes; button.append(n) }
      else button.onclick = () => ask("/api/vote?choice=" + encodeURIComponent(emoji.shortcode))
        .then(() => show("You voted for " + emoji.shortcode), (error) => show(emoji.shortcode + ": " + error.message, true));
      grid.append(button);
    }
  } catch (error) { show(error.message, true) }
</script>
</html>`;
}
