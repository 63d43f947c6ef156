// An identity provider that is not ours: oidc-provider on loopback, with one client that asks for tokens in its own name.
//
//   node server.mjs MODULES        MODULES is the directory with node_modules in it
//
// The first line on standard output that begins with { tells where it listens. Besides the provider there is a control door:
//
//   POST /publish   a new key of each algorithm stands beside the one in use, which goes on signing
//   POST /switch    the new keys sign; the old ones are still published
//   POST /drop      the old keys are gone
//   GET  /state     key ids, the signing one of each algorithm first
//
// Providers rotate in this order, so that whoever keeps a copy of the keys has time to learn the new ones.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const modules = createRequire(join(process.argv[2], 'package.json'));
const { default: Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')).href);

const LIFETIME = 600; // seconds
const MAKE = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};
const ALGORITHMS = Object.keys(MAKE);

let generation = 0;
const keys = Object.fromEntries(ALGORITHMS.map((algorithm) => [algorithm, []])); // signing key first

function newKeys() {
  generation += 1;
  return ALGORITHMS.map((algorithm) => [algorithm, {
    ...MAKE[algorithm]().privateKey.export({ format: 'jwk' }), kid: `${algorithm}-${generation}`, alg: algorithm, use: 'sig',
  }]);
}

for (const [algorithm, key] of newKeys()) keys[algorithm].push(key);

const front = createServer((request, response) => answer(request, response));
await new Promise((listening) => { front.listen(0, '127.0.0.1', listening); });
const issuer = `http://127.0.0.1:${front.address().port}`;

// Tokens are signed, not stored, so that a provider with other keys can take the place of the one before: what a restart does elsewhere.
function provider() {
  return new Provider(issuer, {
    clients: [{
      client_id: 'robot', client_secret: 'robot-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    }],
    jwks: { keys: ALGORITHMS.flatMap((algorithm) => keys[algorithm]) },
    scopes: ['read', 'write'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        // https://api.test/ES256 is the service `api`, which likes its tokens signed so
        getResourceServerInfo: (context, resource) => ({
          scope: 'read write', audience: 'api', accessTokenFormat: 'jwt', accessTokenTTL: LIFETIME,
          jwt: { sign: { alg: new URL(resource).pathname.slice(1) } },
        }),
      },
    },
  }).callback();
}

let answer = provider();

const moves = {
  publish: () => { for (const [algorithm, key] of newKeys()) keys[algorithm].push(key); },
  switch: () => { for (const algorithm of ALGORITHMS) keys[algorithm].reverse(); },
  drop: () => { for (const algorithm of ALGORITHMS) keys[algorithm].length = 1; },
};

const control = createServer((request, response) => {
  const name = request.url.slice(1);
  const known = request.method === 'POST' ? Object.hasOwn(moves, name) : name === 'state';
  if (known && request.method === 'POST') {
    moves[name]();
    answer = provider();
  }
  const state = Object.fromEntries(ALGORITHMS.map((algorithm) => [algorithm, keys[algorithm].map((key) => key.kid)]));
  response.writeHead(known ? 200 : 404, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(state));
});
await new Promise((listening) => { control.listen(0, '127.0.0.1', listening); });

console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}` }));
