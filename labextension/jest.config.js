// JupyterLab and what it depends on are ES modules: they are compiled, the rest is not.
const esModules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@lezer',
  '@lumino',
  '@marijn',
  '@microsoft',
  '@rjsf',
  'crelt',
  'exenv-es6',
  'jupyterlab',
  'lib0',
  'nanoid',
  'style-mod',
  'vscode-ws-jsonrpc',
  'w3c-keyname',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

module.exports = {
  moduleNameMapper: {
    '\\.svg$': '<rootDir>/src/__tests__/asset.js',
    '\\.css$': '<rootDir>/src/__tests__/asset.js'
  },
  setupFiles: ['<rootDir>/src/__tests__/setup.js'],
  testEnvironment: '<rootDir>/src/__tests__/environment.js',
  testMatch: ['<rootDir>/src/__tests__/**/*.spec.ts?(x)'],
  transform: { '\\.(m?js|tsx?)$': 'babel-jest' },
  transformIgnorePatterns: [`/node_modules/(?!(?:${esModules})(?:/|-))`]
};
