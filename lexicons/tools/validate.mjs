// Checks lexicons, and records written to them, with the reference implementation.
//
//   node validate.mjs LEXICONS RECORDS
//
// Every file in RECORDS is a record; those whose names begin with "invalid" must be refused, all others accepted.
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { LexiconIterableIndexer, LexiconSchemaBuilder, lexiconDocumentSchema } from '@atproto/lex-document'
import { jsonToLex } from '@atproto/lex-json'

const [lexicons, records] = process.argv.slice(2)
const read = (folder, name) => JSON.parse(readFileSync(path.join(folder, name), 'utf8'))
const jsonFiles = (folder) => readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.json')).sort()

// This validator does not know that a reference without a fragment means "#main".
const full = (ref) => (ref.includes('#') ? ref : `${ref}#main`)
const spelled = (value, key) => {
  if (typeof value === 'string') return key === 'ref' || key === 'refs' ? full(value) : value
  if (Array.isArray(value)) return value.map((item) => spelled(item, key))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, spelled(item, name)]))
}

const names = jsonFiles(lexicons).filter((name) => name.startsWith(`ac${path.sep}`))
const documents = names.map((name) => lexiconDocumentSchema.parse(spelled(read(lexicons, name))))
const misplaced = names.filter((name, n) => name !== `${documents[n].id.replaceAll('.', path.sep)}.json`)
const schemas = await LexiconSchemaBuilder.buildAll(new LexiconIterableIndexer(documents))

let wrong = misplaced.map((name) => `${name} is not where its id says`)
let count = 0
for (const name of jsonFiles(records)) {
  const record = jsonToLex(read(records, name))
  const result = schemas.get(`${record.$type}#main`).safeValidate(record)
  const expected = !path.basename(name).startsWith('invalid')
  if (result.success !== expected) wrong.push(`${name}: ${result.success ? 'accepted' : (result.reason ?? result.error)?.message}`)
  count += 1
}
wrong.forEach((line) => console.error(line))
console.log(`${documents.length} lexicons and ${count} records, ${wrong.length} wrong`)
process.exit(wrong.length || !count ? 1 : 0)
