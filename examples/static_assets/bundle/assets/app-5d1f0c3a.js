// The page adds two numbers in WebAssembly, and says where in the application it is.
const { instance } = await WebAssembly.instantiateStreaming(fetch("/assets/add-7e42b9d0.wasm"));
document.getElementById("sum").textContent = `20 + 22 = ${instance.exports.add(20, 22)}`;
document.getElementById("path").textContent = location.pathname;
