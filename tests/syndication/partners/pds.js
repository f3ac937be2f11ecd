// A real PDS with a directory of DIDs, on 127.0.0.1 alone, until standard input ends.
const net = require('node:net')
const { listen } = net.Server.prototype
net.Server.prototype.listen = function (port, ...rest) {
  const options = typeof port === 'object' ? port : { port: Number(port) }
  const callbacks = rest.filter((each) => typeof each === 'function')
  return listen.call(this, { ...options, host: '127.0.0.1' }, ...callbacks)
}

const { TestNetworkNoAppView } = require('@atproto/dev-env')

TestNetworkNoAppView.create({}).then((network) => {
  console.log(JSON.stringify({ url: network.pds.url.replace('localhost', '127.0.0.1') }))
  process.stdin.resume()
  process.stdin.on('end', () => network.close().finally(() => process.exit(0)))
})
