// A throw-away AT Protocol network on 127.0.0.1: a PLC directory in memory and a PDS, the reference implementations.
//
//   node testnet.mjs [--handles alice.test,bob.test] [--blob-limit BYTES] [--rate-limits] [--log]
//   node testnet.mjs --plc-only                                   just the directory
//   node testnet.mjs --plc URL --dir DIR --pds-port N             just the PDS, whose state stays in DIR
//
// When all is ready it prints one line of JSON. It ends on SIGTERM, on SIGINT, and when its stdin closes.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'

const { values: opt } = parseArgs({
  options: {
    handles: { type: 'string', default: 'alice.test,bob.test' },
    'blob-limit': { type: 'string', default: String(100 * 1024 * 1024) },
    'rate-limits': { type: 'boolean', default: false },
    'plc-only': { type: 'boolean', default: false },
    plc: { type: 'string' },
    dir: { type: 'string' },
    'pds-port': { type: 'string', default: '0' },
    log: { type: 'boolean', default: false },
  },
})
if (!opt.log) process.env.LOG_ENABLED = 'false' // read when the packages load
const HOST = '127.0.0.1'

let plc, pds, ownDir, closing
const shutdown = async (code = 0) => {
  if (closing) return
  closing = true
  setTimeout(() => process.exit(code || 1), 5000).unref() // a stuck socket must not hang the tests
  await pds?.destroy().catch(() => {})
  await plc?.destroy().catch(() => {})
  if (ownDir) await rm(ownDir, { recursive: true, force: true })
  process.exit(code)
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => shutdown())
process.stdin.on('end', () => shutdown()).on('close', () => shutdown()).on('error', () => shutdown()).resume()

// Both servers listen on every interface by themselves.
const onLoopback = (server) => {
  const listen = server.app.listen.bind(server.app)
  server.app.listen = (port, ...rest) => listen(port, HOST, ...rest)
  return server
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = net.createServer().once('error', reject)
    probe.listen(0, HOST, () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })

const startPlc = async () => {
  const plcPkg = await import('@did-plc/server')
  const { Database, PlcServer } = plcPkg.Database ? plcPkg : plcPkg.default // CommonJS
  plc = onLoopback(PlcServer.create({ db: Database.mock(), port: 0, version: 'testnet' }))
  await plc.start()
  return `http://localhost:${plc.server.address().port}` // the PDS refuses directories that are IP addresses
}

const startPds = async (didPlcUrl) => {
  const { PDS, envToCfg, envToSecrets } = await import('@atproto/pds')
  const dir = opt.dir ?? (ownDir = await mkdtemp(path.join(os.tmpdir(), 'atp-testnet-')))
  await mkdir(path.join(dir, 'blobs'), { recursive: true })
  const secret = path.join(dir, 'secret')
  if (!existsSync(secret)) writeFileSync(secret, randomBytes(32).toString('hex'))
  const port = Number(opt['pds-port']) || (await freePort()) // part of its configuration, so chosen beforehand
  const key = readFileSync(secret, 'utf8')
  const env = {
    devMode: true, // DID services over http
    port,
    hostname: 'localhost', // makes its public URL http://localhost:<port>
    dataDirectory: dir,
    blobstoreDiskLocation: path.join(dir, 'blobs'),
    blobUploadLimit: Number(opt['blob-limit']),
    didPlcUrl,
    serviceHandleDomains: ['.test'],
    inviteRequired: false,
    rateLimitsEnabled: opt['rate-limits'],
    disableSsrfProtection: true,
    jwtSecret: key,
    adminPassword: key,
    plcRotationKeyK256PrivateKeyHex: key,
  }
  pds = onLoopback(await PDS.create(envToCfg(env), envToSecrets(env)))
  await pds.start()
  return { pds: `http://localhost:${port}`, dir, jwtSecret: key }
}

const createAccount = async (url, handle) => {
  const xrpc = async (nsid, body, token) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const reply = await fetch(`${url}/xrpc/${nsid}`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!reply.ok) throw new Error(`${nsid}: ${reply.status} ${await reply.text()}`)
    return reply.json()
  }
  const password = randomBytes(8).toString('hex')
  const account = await xrpc('com.atproto.server.createAccount', { handle, email: `${handle}@example.com`, password })
  const app = await xrpc('com.atproto.server.createAppPassword', { name: 'tests' }, account.accessJwt)
  return { handle, did: account.did, password, appPassword: app.password }
}

try {
  const ready = { plc: opt.plc ?? (await startPlc()), accounts: [] }
  if (!opt['plc-only']) {
    Object.assign(ready, await startPds(ready.plc))
    for (const handle of opt.handles.split(',').filter(Boolean)) ready.accounts.push(await createAccount(ready.pds, handle))
  }
  process.stdout.write(JSON.stringify(ready) + '\n')
} catch (error) {
  console.error(error)
  await shutdown(1)
}
