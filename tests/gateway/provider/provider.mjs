// SPDX-License-Identifier: Apache-2.0
// A certified OpenID provider (npm oidc-provider) that signs in whom the test says, on the port that it prints.
//
//   node provider.mjs LIBRARY SETTINGS.json
//
// POST /test changes what it does: {account: {...}} who signs in next, {deny: true} nobody does, {rotate: true} new keys.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';

const [library, file] = process.argv.slice(2);
const { Provider } = await import(library);
const settings = JSON.parse(readFileSync(file, 'utf8'));
const accounts = new Map();
let keys = [];
let who = '';
let isDenied = false;
let provider;
let answer;

function rotate() {
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  keys = [{ ...key, kid: randomUUID(), use: 'sig', alg: 'RS256' }];
  found();
}

function found() {
  const [api, issuer] = [settings.audience, settings.issuer];
  const server = {
    scope: 'khatim', audience: api, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } },
  };
  provider = new Provider(issuer, {
    clients: settings.clients,
    jwks: { keys },
    cookies: { keys: ['test'] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub', 'groups', 'amr', 'acr'], profile: ['name'], email: ['email'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts.get(id) }) }),
    extraTokenClaims: (_, token) => accounts.get(token.accountId),
    // Its own guard would keep it from telling a client on this machine that a session has ended.
    fetch: (address, { dispatcher, ...options }) => globalThis.fetch(address, options),
    interactions: { url: (_, interaction) => `/test/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      clientCredentials: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      resourceIndicators: {
        enabled: true, defaultResource: () => api, useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({ ...server, audience: resource }),
      },
    },
  });
  answer = provider.callback();
}

// Signs in and consents by itself: there is no person here.
async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  let result = { error: 'access_denied', error_description: 'nobody signs in' };
  if (!isDenied && details.prompt.name === 'login') {
    result = { login: { accountId: who, amr: accounts.get(who).amr, acr: accounts.get(who).acr } };
  } else if (!isDenied) {
    const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
    grant.addOIDCScope(details.params.scope ?? 'openid');
    grant.addResourceScope(settings.audience, 'khatim');
    result = { consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function control(request, response) {
  let body = '';
  for await (const piece of request) body += piece;
  const asked = JSON.parse(body);
  if (asked.account) {
    const { sub, ...claims } = asked.account;
    accounts.set(sub, claims);
    who = sub;
  }
  if ('deny' in asked) isDenied = asked.deny;
  if (asked.rotate) rotate();
  response.end('{}');
}

const listening = http.createServer((request, response) => {
  if (request.url === '/test') return control(request, response);
  if (request.url.startsWith('/test/')) return interact(request, response).catch((error) => response.end(`${error}`));
  return answer(request, response);
});
rotate();
listening.listen(new URL(settings.issuer).port, '127.0.0.1', () => console.log('ready'));
