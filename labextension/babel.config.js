// Babel compiles the sources and JupyterLab's ES modules for jest only; the build uses tsc.
module.exports = {
  presets: [
    ['@babel/preset-env', { targets: { node: 'current' } }],
    ['@babel/preset-react', {}],
    ['@babel/preset-typescript', { allowDeclareFields: true }]
  ]
};
