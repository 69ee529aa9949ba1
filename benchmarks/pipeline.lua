-- wrk's requests, DEPTH at a time in one write: wrk -s pipeline.lua URL -- DEPTH
-- wrk waits for all of a batch before it writes the next, and its latencies are those of whole batches.
function init(args)
   local request_line = wrk.format("GET", "/")
   batch = string.rep(request_line, tonumber(args[1]) or 16)
end

function request()
   return batch
end
