/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/routes/toml.h"

#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <sstream>
#include <string_view>

#include <toml++/toml.h>

static int check_line(const char *line, size_t len, size_t number, struct error *err)
{
	size_t dots = 0;

	for (size_t i = 0; i < len; i++)
		dots += line[i] == '.';
	if (len > TOML_LINE_MAX || dots > TOML_DOTS_MAX)
		return error_set(err, EFBIG, "line %zu: more than %d bytes or %d dots", number,
			(int)TOML_LINE_MAX, (int)TOML_DOTS_MAX);
	return 0;
}

/* What the library might take for the end of a line, and is none, only makes a line longer here. */
static int check_bounds(const char *text, size_t len, struct error *err)
{
	const char *end = text + len;
	size_t number = 1;
	int rc = 0;

	if (len > TOML_BYTES_MAX)
		return error_set(err, EFBIG, "more than %d bytes", (int)TOML_BYTES_MAX);
	for (const char *line = text; !rc && line < end; number++) {
		const void *found = memchr(line, '\n', (size_t)(end - line));
		const char *stop = found ? static_cast<const char *>(found) : end;

		rc = check_line(line, (size_t)(stop - line), number, err);
		line = stop + 1;
	}
	return rc;
}

static int convert(struct buf *ret, std::string_view text)
{
	/* By its own default it indents, which deep tables make quadratic. */
	const toml::format_flags flags =
		toml::json_formatter::default_flags & ~toml::format_flags::indentation;
	const toml::table table = toml::parse(text);
	std::ostringstream json;

	json << toml::json_formatter{ table, flags };
	const std::string whole = json.str();
	return buf_append(ret, whole.data(), whole.size());
}

int toml_to_json(struct buf *ret, const char *text, size_t len, struct error *err)
try {
	int rc = check_bounds(text, len, err);

	if (rc)
		return rc;
	rc = convert(ret, std::string_view(text, len));
	return rc ? error_set(err, -rc, "%s", strerror(-rc)) : 0;
} catch (const toml::parse_error &malformed) {
	return error_set(err, EINVAL, "line %u: %.200s",
		static_cast<unsigned>(malformed.source().begin.line), malformed.what());
} catch (const std::bad_alloc &) {
	return error_set(err, ENOMEM, "out of memory");
} catch (const std::exception &other) {
	return error_set(err, EINVAL, "%.200s", other.what());
} catch (...) {
	return error_set(err, EINVAL, "not TOML");
}
