// What an SVG or CSS file is to a unit test.
module.exports = '<svg xmlns="http://www.w3.org/2000/svg"></svg>';
