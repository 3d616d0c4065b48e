/* What OpenSSL makes of CSRs: one in hex a line, one JSON object a line. */
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_LINE (1 << 20)

static void print_hex(const unsigned char *bytes, int length, int *count) {
  printf("%s\"", (*count)++ ? "," : "");
  for (int at = 0; at < length; at++) printf("%02x", bytes[at]);
  printf("\"");
}

/* The names of one kind, or how many there are of no kind that is read here. */
static void print_names(const GENERAL_NAMES *names, int kind) {
  int count = 0;
  for (int at = 0; at < sk_GENERAL_NAME_num(names); at++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, at);
    if (name->type != kind) continue;
    print_hex(ASN1_STRING_get0_data(name->d.ia5), ASN1_STRING_length(name->d.ia5), &count);
  }
}

static int count_others(const GENERAL_NAMES *names) {
  int others = 0;
  for (int at = 0; at < sk_GENERAL_NAME_num(names); at++) {
    int type = sk_GENERAL_NAME_value(names, at)->type;
    others += type != GEN_DNS && type != GEN_IPADD;
  }
  return others;
}

static void print_common_names(const X509_NAME *subject) {
  int count = 0;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
    unsigned char *text = NULL;
    int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    print_hex(text, length < 0 ? 0 : length, &count);
    OPENSSL_free(text);
  }
}

static const char *fault_of(X509_REQ *request, const unsigned char *rest, const unsigned char *end) {
  if (!request) return "malformed";
  if (rest != end) return "trailing bytes";
  EVP_PKEY *key = X509_REQ_get0_pubkey(request);
  if (!key) return "malformed key";
  return X509_REQ_verify(request, key) == 1 ? NULL : "wrong signature";
}

static void read_csr(const unsigned char *der, long length) {
  const unsigned char *rest = der;
  X509_REQ *request = d2i_X509_REQ(NULL, &rest, length);
  const char *fault = fault_of(request, rest, der + length);
  X509_EXTENSIONS *extensions = fault ? NULL : X509_REQ_get_extensions(request);
  if (!fault && !extensions && X509_REQ_get_attr_by_NID(request, NID_ext_req, -1) >= 0)
    fault = "malformed extensions";
  int critical = -1; /* -1: there is none; -2: there are several */
  GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, NULL);
  if (!fault && !names && critical != -1) fault = "malformed names";
  if (fault) {
    printf("{\"error\":\"%s\"}\n", fault);
  } else {
    printf("{\"dns\":[");
    print_names(names, GEN_DNS);
    printf("],\"ips\":[");
    print_names(names, GEN_IPADD);
    printf("],\"others\":%d,\"commonNames\":[", count_others(names));
    print_common_names(X509_REQ_get_subject_name(request));
    printf("]}\n");
  }
  GENERAL_NAMES_free(names);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_free(request);
}

int main(void) {
  static char line[LONGEST_LINE];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    long length = 0;
    unsigned char *der = OPENSSL_hexstr2buf(line, &length);
    if (!der) exit(1);
    read_csr(der, length);
    OPENSSL_free(der);
  }
  return 0;
}
