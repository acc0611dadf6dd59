// What JupyterLab's modules ask for when they are imported, and jsdom lacks.
globalThis.DragEvent ??= class DragEvent extends MouseEvent {};
globalThis.ResizeObserver ??= class ResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
};
globalThis.matchMedia ??= () => ({ matches: false, addListener() {} });
globalThis.requestIdleCallback ??= callback => setTimeout(callback);
navigator.clipboard ??= {};
// React's `act` asks whether it is used in a test.
globalThis.IS_REACT_ACT_ENVIRONMENT = true;

// A warning is an error.
for (const level of ['error', 'warn']) {
  console[level] = (...words) => {
    throw new Error(`console.${level}: ${words.map(String).join(' ')}`);
  };
}
