// Reads a server of results with h5web's own HsdsProvider, without a browser: commands come as
// lines of JSON on stdin, one answer a line goes to stdout. Run where @h5web/app is installed.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(process.cwd() + "/"));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const react = (await load("react")).default;
const { renderToString } = (await load("react-dom/server")).default;
const h5web = await import(
  pathToFileURL(process.cwd() + "/node_modules/@h5web/app/dist/index.js")
);

// A store of React throws the promise of what is not there yet.
async function settled(get) {
  for (;;) {
    try {
      return get();
    } catch (thrown) {
      if (!(thrown instanceof Promise)) throw thrown;
      await thrown;
    }
  }
}

let context;
function Probe() {
  context = h5web.useDataContext();
  return null;
}

const commands = {
  open({ url }) {
    const fetcher = h5web.createBasicFetcher();
    const props = { url: url.replace(/\/$/u, ""), filepath: "/", fetcher };
    renderToString(
      react.createElement(h5web.HsdsProvider, props, react.createElement(Probe)),
    );
    return null;
  },
  async keys({ path }) {
    const entity = await settled(() => context.entitiesStore.get(path));
    return entity.children.map((child) => child.name);
  },
  async attrs({ path }) {
    const entity = await settled(() => context.entitiesStore.get(path));
    return settled(() => context.attrValuesStore.get(entity));
  },
  async read({ path }) {
    const dataset = await settled(() => context.entitiesStore.get(path));
    const value = await settled(() => context.valuesStore.get({ dataset }));
    const flat = Array.isArray(value) || ArrayBuffer.isView(value) ? [...value].flat(9) : value;
    return { shape: dataset.shape.dims ?? [], type: dataset.type.class, value: flat };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { found: await commands[command.do](command) };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
