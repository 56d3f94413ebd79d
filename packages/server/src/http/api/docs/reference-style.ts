/** The style sheet of the reference page: light, dark and print. */
export const REFERENCE_STYLE = `
:root { color-scheme: light dark; --text: #1c2330; --soft: #5b6577; --line: #dfe3ea; --back: #ffffff;
  --panel: #f6f7f9; --accent: #0b5cad; --get: #0b6e4f; --post: #0b5cad; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ef; --soft: #9aa5b8; --line: #2c3442; --back: #12161d;
  --panel: #1a202a; --accent: #7ab8ff; --get: #5fd0a5; --post: #7ab8ff; --delete: #ff8a80; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; color: var(--text); background: var(--back);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font-family: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace; font-size: .86em; }
code { background: var(--panel); border-radius: 4px; padding: .1em .3em; overflow-wrap: anywhere; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; overflow: auto; }
pre code { background: none; padding: 0; overflow-wrap: normal; }
nav { position: fixed; inset: 0 auto 0 0; width: 19rem; overflow: auto; padding: 1.4rem 1.2rem;
  background: var(--panel); border-right: 1px solid var(--line); font-size: .9rem; }
nav strong { display: block; margin: 1.1rem 0 .3rem; color: var(--soft); font-size: .75rem;
  text-transform: uppercase; letter-spacing: .06em; }
nav a { display: flex; gap: .5rem; padding: .16rem 0; color: inherit; }
nav .name { font-size: 1.05rem; font-weight: 650; }
nav .method { width: 3.2rem; flex: none; font-size: .68rem; line-height: 1.45rem; }
main { margin-left: 19rem; padding: 1.4rem 3rem 6rem; max-width: 72rem; }
h1 { font-size: 1.9rem; margin: .4rem 0; }
h2 { margin: 3rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--line); font-size: 1.4rem; }
h3 { margin: 2.4rem 0 .3rem; font-size: 1.12rem; }
h4 { margin: 1.3rem 0 .3rem; font-size: .8rem; color: var(--soft); text-transform: uppercase; letter-spacing: .05em; }
.method { font-weight: 700; letter-spacing: .03em; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
.soft { color: var(--soft); }
.path { font-size: .95rem; margin: .2rem 0 .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
td, th { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
td:first-child { white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td p { margin: 0; }
.required { color: var(--delete); font-size: .78rem; margin-left: .4rem; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .4rem 0; padding: .35rem .9rem; }
summary { cursor: pointer; }
details[open] summary { margin-bottom: .5rem; }
@media (max-width: 60rem) { nav { position: static; width: auto; border: 0; border-bottom: 1px solid var(--line); }
  main { margin: 0; padding: 1rem 1.2rem 4rem; } table { display: block; overflow: auto; } }
@media print { nav { display: none; } main { margin: 0; max-width: none; padding: 0; } body { font-size: 11pt; }
  h3, h4 { break-after: avoid; } tr, pre { break-inside: avoid; } }
`;
