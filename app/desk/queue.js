// Where a correction helps most, in the order in which it helps; the canvas knows and says.

const panel = element.querySelector('.dp-queue'), left = panel.querySelector('.dp-left'), items = panel.querySelector('.dp-items');
const SHOWN = 5;
let frame = -1;

const tell = (name, detail) => window.dispatchEvent(new CustomEvent(`diffpose:${name}`, { detail }));

function header({ left: count, target, frames }) {
  if (!frames) return `Every frame is expected within ${target} px.`;
  if (!count) return `The average is within ${target} px; ${frames} ${frames === 1 ? 'frame is' : 'frames are'} not yet.`;
  return `About ${count >= 999 ? 'a thousand' : count} ${count === 1 ? 'click' : 'clicks'} for ${target} px.`;
}

function row(item) {
  const line = document.createElement('li'), button = document.createElement('button');
  const number = document.createElement('strong'), why = document.createElement('span');
  button.type = 'button';
  number.textContent = `${item.frame + 1}`;
  why.textContent = item.reason;
  button.setAttribute('aria-label', `Frame ${item.frame + 1}: ${item.reason}`);
  button.append(number, why);
  button.addEventListener('click', () => tell('goto', item));
  line.append(button); line.dataset.frame = item.frame;
  return line;
}

function light() { for (const line of items.children) line.classList.toggle('dp-here', Number(line.dataset.frame) === frame); }

function showModel({ learned, adapted, offered }) {
  const say = (name, words) => { const line = panel.querySelector(name); line.textContent = words ?? ''; line.hidden = !words; };
  panel.querySelector('.dp-model').hidden = false;
  say('.dp-learned', learned);
  say('.dp-adapted', adapted);
  panel.querySelector('.dp-anyway').hidden = !offered;
  panel.querySelector('.dp-back').hidden = adapted === null;
}

for (const button of panel.querySelectorAll('.dp-model button')) button.addEventListener('click', () => trigger('adapt_wanted', { what: button.dataset.what }));
window.addEventListener('diffpose:queue', ({ detail }) => {
  showModel(detail);
  left.textContent = header(detail);
  items.replaceChildren(...detail.items.slice(0, SHOWN).map(row));
  light();
});
window.addEventListener('diffpose:frame', ({ detail }) => { if (detail.frame !== frame) { frame = detail.frame; light(); } });
panel.querySelector('.dp-next').addEventListener('click', () => tell('next'));
panel.querySelector('.dp-target').addEventListener('change', ({ target }) => tell('target', { target: Number(target.value) }));
window.dispatchEvent(new CustomEvent('diffpose:hello')); // what was said before this was here is said again
