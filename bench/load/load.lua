-- The load of one measurement, for wrk. Arguments after "--" are key=value:
--   token=FILE      one token; every request carries it (built once, wrk then sends the same bytes)
--   tokens=FILE     one token a line; requests take them in turn
--   browser=1       the header lines a browser sends (15 lines with Host and Authorization)
--   close=1         Connection: close, so that every request opens a connection of its own
--   upload=BYTES    a POST with a body of this many bytes
-- At the end one line "measured {...}" goes to standard output; bench/wrk.py reads it.

local browser = {
   ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
   ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
   ["Accept-Language"] = "en-GB,en;q=0.8,de;q=0.5",
   ["Accept-Encoding"] = "gzip, deflate, br, zstd",
   ["Referer"] = "https://shop.example/catalogue/shoes?page=3&sort=price",
   ["Cookie"] = "session=4f1c9d0e7a6b4c2f8e3d5a7b9c1e0f2a; theme=dark; consent=necessary; ab=17",
   ["Cache-Control"] = "no-cache",
   ["Pragma"] = "no-cache",
   ["DNT"] = "1",
   ["Sec-Fetch-Dest"] = "document",
   ["Sec-Fetch-Mode"] = "navigate",
   ["Sec-Fetch-Site"] = "same-origin",
   ["Upgrade-Insecure-Requests"] = "1",
}

function init(args)
   local given = {}
   for _, argument in ipairs(args) do
      local key, value = argument:match("^(%w+)=(.*)$")
      if key then given[key] = value end
   end
   if given.browser then
      for name, value in pairs(browser) do wrk.headers[name] = value end
   end
   if given.close then wrk.headers["Connection"] = "close" end
   if given.upload then
      wrk.method = "POST"
      wrk.body = string.rep("u", tonumber(given.upload))
   end
   if given.token then
      wrk.headers["Authorization"] = "Bearer " .. io.open(given.token):read("*l")
   end
   if given.tokens then
      local requests, at = {}, 0
      for token in io.lines(given.tokens) do
         wrk.headers["Authorization"] = "Bearer " .. token
         requests[#requests + 1] = wrk.format()
      end
      wrk.request = function()
         at = at % #requests + 1
         return requests[at]
      end
      request = wrk.request -- wrk looks for this name to know that requests differ
   end
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      'measured {"requests": %d, "seconds": %.6f, "bytes": %d, "connect_errors": %d, "read_errors": %d, "write_errors": %d, '
      .. '"timeouts": %d, "refused": %d, "p50_us": %.1f, "p99_us": %.1f}',
      summary.requests, summary.duration / 1e6, summary.bytes, errors.connect, errors.read, errors.write,
      errors.timeout, errors.status, latency:percentile(50), latency:percentile(99)))
end
