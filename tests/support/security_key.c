/* A security key in software, for OpenSSH's SecurityKeyProvider: Ed25519, and no touch.

   The interface is that of sk-api.h, and what is signed that of PROTOCOL.u2f ("SSH U2F signatures").
   The key handle is the private key: good enough for a test. */

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API_VERSION 0x000a0000u
#define ED25519 1
#define UNSUPPORTED (-2)
#define FAILED (-1)
#define KEY 32
#define SIGNATURE 64
#define DIGEST 32

struct enrolled {
    uint8_t flags;
    uint8_t *public_key;
    size_t public_key_size;
    uint8_t *handle;
    size_t handle_size;
    uint8_t *signature;
    size_t signature_size;
    uint8_t *certificate;
    size_t certificate_size;
    uint8_t *data;
    size_t data_size;
};

struct signature {
    uint8_t flags;
    uint32_t counter;
    uint8_t *r; /* for Ed25519, the whole */
    size_t r_size;
    uint8_t *s;
    size_t s_size;
};

uint32_t sk_api_version(void) { return API_VERSION; }

int sk_enroll(uint32_t algorithm, const uint8_t *challenge, size_t challenge_size,
              const char *application, uint8_t flags, const char *pin, void **options,
              struct enrolled **answer) {
    if (algorithm != ED25519) return UNSUPPORTED;
    struct enrolled *made = calloc(1, sizeof *made);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    made->flags = flags;
    made->public_key = malloc(made->public_key_size = KEY);
    made->handle = malloc(made->handle_size = KEY);
    made->signature = calloc(1, made->signature_size = 1); /* an attestation that nobody asked for */
    *answer = made;
    int done = EVP_PKEY_get_raw_public_key(key, made->public_key, &made->public_key_size) &&
               EVP_PKEY_get_raw_private_key(key, made->handle, &made->handle_size);
    EVP_PKEY_free(key);
    return done ? 0 : FAILED;
}

int sk_sign(uint32_t algorithm, const uint8_t *data, size_t data_size, const char *application,
            const uint8_t *handle, size_t handle_size, uint8_t flags, const char *pin,
            void **options, struct signature **answer) {
    if (algorithm != ED25519) return UNSUPPORTED;
    struct signature *made = calloc(1, sizeof *made);
    made->flags = flags;
    made->counter = 1;
    made->r = malloc(made->r_size = SIGNATURE);
    *answer = made;
    uint8_t text[2 * DIGEST + 5] = {0};
    EVP_Digest(application, strlen(application), text, NULL, EVP_sha256(), NULL);
    text[DIGEST] = flags;
    text[DIGEST + 4] = made->counter;
    EVP_Digest(data, data_size, text + DIGEST + 5, NULL, EVP_sha256(), NULL);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, handle, handle_size);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = key && EVP_DigestSignInit(context, NULL, NULL, NULL, key) &&
               EVP_DigestSign(context, made->r, &made->r_size, text, sizeof text);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return done ? 0 : FAILED;
}

int sk_load_resident_keys(const char *pin, void **options, void ***keys, size_t *count) {
    return UNSUPPORTED;
}
