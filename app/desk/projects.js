// The list of projects: open, rename, copy, delete. Names come from people: textContent only.

const panel = element.querySelector('.dp-projects'), list = panel.querySelector('.dp-list');
const openName = panel.querySelector('.dp-open-name'), gone = panel.querySelector('.dp-gone'), note = panel.querySelector('.dp-note');
const ABOUT = note.textContent;
let open = null, deleted = null, shownFor = null, about = ABOUT, asked = 0, shown = 0, shows = 0;

const limit = (days) => `What is not used for ${days === 1 ? 'a day' : days < 1 ? `${Math.round(24 * days)} hours` : `${days} days`} is deleted here, with its video: download what you want to keep.`;

const session = () => window.diffpose?.state.session;

async function ask(what, fields = {}) {
  if (!session()) return null;
  const number = ++asked;
  const reply = await Promise.resolve(server.projects({ session: session(), do: what, ...fields })).catch(() => null);
  if (reply?.keep_days) about = `${ABOUT} ${limit(reply.keep_days)}`;
  const problem = reply ? reply.words : 'The server does not answer.';
  if (reply?.projects && number > shown) { shown = number; list.replaceChildren(...reply.projects.map(line)); }
  note.textContent = problem ?? about;
  note.hidden = !problem && about === ABOUT && list.children.length > 0;
  return reply;
}

function show() {
  const number = ++shows;
  return askUntilAnswered(() => ask('list'), () => panel.open && number === shows);
}

const when = (seconds) => new Date(1000 * seconds).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });

function button(text, label, act) {
  const made = Object.assign(document.createElement('button'), { type: 'button', textContent: text, title: label });
  made.setAttribute('aria-label', label);
  made.addEventListener('click', act);
  return made;
}

function line(project) {
  const item = document.createElement('li'), mine = project.id === open?.id;
  const choose = button('', `Open ${project.name}`, () => { if (!mine) trigger('project_chosen', { project: project.id }); });
  const name = document.createElement('strong'), date = document.createElement('span');
  name.textContent = project.name; date.textContent = mine ? 'open' : project.problem ? 'cannot be read' : when(project.changed);
  choose.append(name, date); choose.className = 'dp-choose';
  choose.disabled = project.problem;
  item.classList.toggle('dp-mine', mine);
  item.append(choose, button('\u270E', `Rename ${project.name}`, () => rename(item, project)),
    button('+', `Copy ${project.name}`, () => ask('copy', { project: project.id, name: `${project.name} copy` })),
    button('\u2913', `Download ${project.name}`, () => download(project)),
    button('\u2715', `Delete ${project.name}`, () => remove(project, mine)));
  return item;
}

function rename(item, project) {
  const field = Object.assign(document.createElement('input'), { value: project.name, maxLength: 80 });
  field.setAttribute('aria-label', 'New name');
  let done = false;
  const finish = async (keep) => {
    if (done) return;
    done = true;
    const name = field.value.trim();
    const reply = await ask(...(keep && name && name !== project.name ? ['rename', { project: project.id, name }] : ['list']));
    if (reply?.ok && project.id === open?.id) trigger('project_gone', {});
  };
  field.addEventListener('keydown', (event) => { if (event.key === 'Enter') finish(true); if (event.key === 'Escape') finish(false); event.stopPropagation(); });
  field.addEventListener('blur', () => finish(true));
  item.querySelector('.dp-choose').replaceWith(field);
  field.focus(); field.select();
}

// The whole project in one file: to keep, to send, to open elsewhere.
async function download(project) {
  const reply = await ask('download', { project: project.id });
  if (!reply?.ok) return;
  const link = Object.assign(document.createElement('a'), { href: `gradio_api/file=${reply.path}`, download: reply.name });
  document.body.append(link); link.click(); link.remove();
}

async function remove(project, mine) {
  const reply = await ask('delete', { project: project.id });
  if (!reply?.ok) return;
  deleted = reply.deleted;
  gone.hidden = false; gone.querySelector('span').textContent = `${project.name} was deleted.`;
  if (mine) trigger('project_gone', {});
}

gone.querySelector('button').addEventListener('click', async () => {
  const reply = await ask('restore', { project: deleted });
  if (reply?.ok) gone.hidden = true;
});
// The page's own upload takes project files too.
panel.querySelector('.dp-open-file').addEventListener('click', () => document.getElementById('upload')?.click());
panel.addEventListener('toggle', () => { if (panel.open) show(); });
window.addEventListener('diffpose:project', ({ detail }) => {
  open = detail.id && detail.listed ? detail : null;
  openName.textContent = open ? `${open.name} \u00b7 ${open.trouble ? 'not saved' : open.waiting ? 'saving' : 'saved'}` : '';
  openName.classList.toggle('dp-bad', Boolean(open?.trouble));
  const now = `${open?.id}/${open?.name}`;
  if (now !== shownFor) { shownFor = now; if (panel.open) show(); }
});
window.dispatchEvent(new CustomEvent('diffpose:hello')); // what was said before this was here is said again
